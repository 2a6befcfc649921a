import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { checkLayers, type SourceTree } from './layers/check.ts'
import { root } from './root.ts'

const report = checkLayers(readTree(join(root, 'src')))
for (const violation of report.violations) console.error(violation)
console.log(
  `layers: ${report.files} files, ${report.imports} imports, ${report.violations.length} violations`,
)
// Nothing read is no success: a check that looks at an empty tree would stay green for ever.
if (report.violations.length > 0 || report.files === 0 || report.imports === 0) process.exitCode = 1

function readTree(folder: string): SourceTree {
  const names = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) =>
    name.endsWith('.ts'),
  )
  return new Map(
    names.sort().map((name) => [name.replaceAll('\\', '/'), readFileSync(join(folder, name), 'utf8')]),
  )
}
