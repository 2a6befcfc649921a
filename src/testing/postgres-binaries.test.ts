import { chmodSync, mkdirSync, mkdtempSync, readlinkSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { canRun, firstReachable, prepareBinaries, serverUser } from './postgres-binaries.ts'

const passwd = 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65533:nobody:/:/bin/false\nbin:x:2:3::/:\n'

test('an unprivileged process runs the server as itself', () => {
  expect(serverUser(passwd, 1000)).toEqual({})
})

test('root runs it as postgres, else as nobody, else as the first other user', () => {
  expect(serverUser(`${passwd}postgres:x:101:104::/:/bin/sh\n`, 0)).toEqual({ uid: 101, gid: 104 })
  expect(serverUser(passwd, 0)).toEqual({ uid: 65534, gid: 65533 })
  expect(serverUser('root:x:0:0::/:\nbin:x:2:3::/:\n', 0)).toEqual({ uid: 2, gid: 3 })
})

test('a system with no other user than root is told so', () => {
  expect(() => serverUser('root:x:0:0::/:\n', 0)).toThrow('run as another user')
})

interface Package {
  readonly folder: string
  readonly found: { readonly initdb: string; readonly postgres: string }
}

/** A package folder whose "binaries" are scripts, with one link to be made. */
function fakePackage(postgres: string): Package {
  const folder = mkdtempSync(join(tmpdir(), 'waybill-binaries-'))
  onTestFinished(() => {
    rmSync(folder, { recursive: true })
  })
  const native = join(folder, 'package', 'native')
  mkdirSync(join(native, 'bin'), { recursive: true })
  mkdirSync(join(native, 'lib'))
  writeFileSync(join(native, 'lib', 'libpq.so.5.18'), '')
  const links = [{ source: 'native/lib/libpq.so.5.18', target: 'native/lib/libpq.so.5' }]
  writeFileSync(join(native, 'pg-symlinks.json'), JSON.stringify(links))
  const found = { initdb: join(native, 'bin', 'initdb'), postgres: join(native, 'bin', 'postgres') }
  for (const file of Object.values(found)) {
    writeFileSync(file, postgres)
    chmodSync(file, 0o755)
  }
  return { folder, found }
}

test('binaries that can be run are used where they are, with the links made that npm does not keep', () => {
  const { folder, found } = fakePackage('#!/bin/sh\n')
  expect(prepareBinaries(found, {}, folder)).toEqual(found)
  expect(prepareBinaries(found, {}, folder)).toEqual(found)
  expect(readlinkSync(join(folder, 'package', 'native', 'lib', 'libpq.so.5'))).toBe('libpq.so.5.18')
})

test('binaries that the server user cannot run are copied, links included', () => {
  const { folder, found } = fakePackage('#!/bin/sh\nexit 1\n')
  const copied = prepareBinaries(found, {}, folder)
  expect(copied.postgres).toBe(join(folder, 'native', 'bin', 'postgres'))
  expect(readlinkSync(join(folder, 'native', 'lib', 'libpq.so.5'))).toBe('libpq.so.5.18')
})

test('a command that is not there cannot be run, and of several folders the first reachable one is taken', () => {
  expect(canRun('/nowhere/at/all', {})).toBe(false)
  expect(firstReachable(['/nowhere', '/'], {})).toBe('/')
  expect(firstReachable(['/nowhere'], {})).toBe('/nowhere')
})
