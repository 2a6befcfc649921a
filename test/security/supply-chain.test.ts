import { readFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import packageJson from '../../package.json' with { type: 'json' }
import { entries } from '../../scripts/layers/table.ts'

interface Lock {
  readonly packages: Readonly<
    Record<string, { readonly resolved?: string; readonly integrity?: string; readonly link?: boolean }>
  >
}

it('every package of the lock file is known by its content, and by no host (S20)', () => {
  const lock = JSON.parse(readFileSync(new URL('../../package-lock.json', import.meta.url), 'utf8')) as Lock
  const packages = Object.entries(lock.packages).filter(([path]) => path !== '')
  expect(packages.length).toBeGreaterThan(100)
  for (const [path, { resolved, integrity }] of packages) {
    expect(resolved, path).toBeUndefined()
    expect(integrity, path).toMatch(/^sha512-/u)
  }
})

it('the main entry and each adapter reach none of the dependencies; what does is an entry of its own (S20)', () => {
  const dependencies = Object.keys(packageJson.dependencies)
  const reaching = Object.entries(entries)
    .filter(([, packages]) => packages.some((name) => dependencies.includes(name)))
    .map(([entry]) => entry)
  // That the table holds is what `npm run check:layers` sees to.
  expect(reaching).toEqual(['monitor.ts'])
  expect(entries['index.ts']).toEqual([])
})
