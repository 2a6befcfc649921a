import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { expect, test, onTestFinished } from 'vitest'
import { Company } from '../prove/company.ts'
import type { ProveSettings } from '../prove/settings.ts'
import { fakeClock } from './faults/clock-jump.ts'
import { ownedFolder } from './owned-folder.ts'

/** What a process has left that is gone, in the place of this folder. */
function leaveLike(path: string, parent: string): string {
  const { pid } = spawnSync(process.execPath, ['--version'])
  const name = basename(path).replace(`-${process.pid}-`, `-${pid}-`)
  expect(name).not.toBe(basename(path))
  mkdirSync(join(parent, name))
  writeFileSync(join(parent, name, 'left'), '')
  return join(parent, name)
}

test('takes away what killed processes left, and nothing of those that live or of others', () => {
  const parent = mkdtempSync(join(tmpdir(), 'waybill-owned-'))
  onTestFinished(() => {
    rmSync(parent, { recursive: true })
  })
  using first = ownedFolder('run-', parent)
  const left = leaveLike(first.path, parent)
  const name = basename(left)
  // Of another prefix, of another space of ids, and of an older name.
  const others = [name.replace('run-', 'other-'), name.replace(/-\d+-(?=[^-]+$)/u, '-1-'), 'run-abc']
  for (const one of others) mkdirSync(join(parent, one))
  const second = ownedFolder('run-', parent)
  const there = [...others, basename(first.path)]
  expect(readdirSync(parent).toSorted()).toEqual([...there, basename(second.path)].toSorted())
  second[Symbol.dispose]()
  expect(readdirSync(parent).toSorted()).toEqual(there.toSorted())
})

test('a proof and a clock of its processes take away what killed ones left', async () => {
  const folders = (prefix: string): readonly string[] =>
    readdirSync(tmpdir()).filter((name) => name.startsWith(`${prefix}${process.pid}-`))
  const makers = {
    'waybill-clock-': () => fakeClock('no library'),
    'waybill-prove-': () => new Company({} as ProveSettings, 1, [], () => {}),
  }
  for (const [prefix, make] of Object.entries(makers)) {
    const first = make()
    const [own] = folders(prefix)
    const left = leaveLike(join(tmpdir(), own!), tmpdir())
    const second = make()
    expect(existsSync(left)).toBe(false)
    expect(folders(prefix)).toHaveLength(2)
    for (const one of [first, second]) {
      if (Symbol.dispose in one) one[Symbol.dispose]()
      else await one[Symbol.asyncDispose]()
    }
    expect(folders(prefix)).toEqual([])
  }
})
