import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { configurationPage } from './docs/configuration.ts'
import { errorsPage } from './docs/errors.ts'
import { guaranteesPage } from './docs/guarantees.ts'
import { metricsPage } from './docs/metrics.ts'
import { performancePage } from './docs/performance.ts'
import { proofPage } from './docs/proof.ts'
import { readmePage } from './docs/readme.ts'
import { root } from './root.ts'

/** Every page that code writes, and how. `--check` compares them with the files instead. */
const pages: Readonly<Record<string, () => string>> = {
  'docs/configuration.md': configurationPage,
  'docs/errors.md': errorsPage,
  'docs/guarantees.md': guaranteesPage,
  'docs/metrics.md': metricsPage,
  'docs/performance.md': performancePage,
  'docs/proof.md': proofPage,
  'README.md': readmePage,
}

const isCheck = process.argv.includes('--check')
for (const [name, render] of Object.entries(pages)) {
  const path = join(root, name)
  const text = render()
  if (existsSync(path) && readFileSync(path, 'utf8') === text) {
    console.log(`${name}: up to date`)
  } else if (isCheck) {
    console.error(`${name} is not what the code says: run "npm run docs"`)
    process.exitCode = 1
  } else {
    writeFileSync(path, text)
    console.log(`${name}: written`)
  }
}
