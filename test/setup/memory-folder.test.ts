import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { memoryFolder } from './memory-folder.ts'

const isRoomy = (): boolean => true

function folderOf(): string {
  const folder = mkdtempSync(join(tmpdir(), 'memory-folder-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

function mountsOf(parent: string, options: string): string {
  const file = join(folderOf(), 'mounts')
  writeFileSync(file, `/dev/vda / ext4 rw,noexec 0 0\ntmpfs ${parent} tmpfs ${options} 0 0\n`)
  return file
}

describe('memoryFolder', () => {
  it('makes a folder that every user can write to, and takes it away', () => {
    const parent = folderOf()
    const made = memoryFolder({ parent, mounts: mountsOf(parent, 'rw,nosuid'), isRoomy })!
    expect(statSync(made.path).mode & 0o7777).toBe(0o1777)
    made[Symbol.dispose]()
    expect(existsSync(made.path)).toBe(false)
  })

  it('takes away what a killed run left, and nothing of one that goes on', () => {
    const parent = folderOf()
    const ended = spawnSync(process.execPath, ['-e', '']).pid
    const [left, used, other] = [`waybill-tests-${ended}-a`, `waybill-tests-${process.ppid}-b`, 'other'].map(
      (name) => join(parent, name),
    )
    for (const folder of [left!, used!, other!]) mkdirSync(folder)
    using _ = memoryFolder({ parent, mounts: mountsOf(parent, 'rw'), isRoomy })
    expect([left, used, other].map((folder) => existsSync(folder!))).toEqual([false, true, true])
  })

  it('makes none where programs cannot be run', () => {
    const parent = folderOf()
    expect(memoryFolder({ parent, mounts: mountsOf(parent, 'rw,nosuid,noexec'), isRoomy })).toBeUndefined()
  })

  it('makes none where there is no such place, or it is no tmpfs', () => {
    expect(memoryFolder({ parent: '/no/such/place' })).toBeUndefined()
    expect(memoryFolder({ parent: '/proc', mounts: mountsOf('/proc', 'rw') })).toBeUndefined()
  })
})
