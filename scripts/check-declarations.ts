import { existsSync, readFileSync } from 'node:fs'
import { join, relative, resolve } from 'node:path'
import packageJson from '../package.json' with { type: 'json' }
import { importsOf } from './layers/imports.ts'
import { root } from './root.ts'

/**
 * Follows the built types of every entry. Drivers are optional: a public type that named one would not compile where it
 * is not installed.
 */
const seen = new Set<string>()
const wrong: string[] = []
for (const [name, target] of Object.entries(packageJson.exports)) {
  if (typeof target === 'string') continue
  for (const file of [target.types, target.default]) {
    if (!existsSync(join(root, file))) wrong.push(`"${name}" of package.json: ${file} was not built`)
  }
  follow(join(root, target.types))
}
for (const line of wrong) console.error(line)
console.log(`public types: ${seen.size} files, ${wrong.length} wrong`)
if (wrong.length > 0 || seen.size === 0) process.exitCode = 1

function follow(path: string): void {
  if (seen.has(path) || !existsSync(path)) return
  seen.add(path)
  for (const { specifier, line } of importsOf(path, readFileSync(path, 'utf8'))) {
    if (specifier === null || specifier.startsWith('node:')) continue
    if (!specifier.startsWith('.'))
      wrong.push(`${relative(root, path)}:${line}: names the package "${specifier}"`)
    else follow(resolve(path, '..', specifier.replace(/\.[jt]s$/u, '.d.ts')))
  }
}
