import { chmodSync, cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, onTestFinished, test } from 'vitest'
import { spawnChild } from '../../src/testing/child.ts'
import {
  canRun,
  findPostgres,
  firstReachable,
  prepareBinaries,
  serverUser,
} from '../../src/testing/postgres-binaries.ts'

const isRoot = process.getuid?.() === 0
const nobody = { uid: 65_534, gid: 65_534 }
// A checkout in a home of mode 0700 cannot be read by any other user, so nothing can be run from it as one.
const source = fileURLToPath(new URL('../../src/testing', import.meta.url))
const isReadable = isRoot && firstReachable(['/nowhere', source], nobody) === source

function temporaryFolder(mode: number): string {
  const folder = mkdtempSync(join(tmpdir(), 'waybill-user-'))
  onTestFinished(() => {
    rmSync(folder, { recursive: true, force: true })
  })
  chmodSync(folder, mode)
  return folder
}

// Without root every other test of this folder shows it.
test.skipIf(!isReadable)('an unprivileged user can start, kill, restart and stop a server', async () => {
  const folder = temporaryFolder(0o755)
  const script = join(folder, 'user.ts')
  const module = new URL('../../src/testing/postgres-server.ts', import.meta.url).href
  writeFileSync(
    script,
    `import { startPostgres } from '${module}'
     process.setgroups([]); process.setgid(${nobody.gid}); process.setuid(${nobody.uid})
     const server = await startPostgres()
     await server.createDatabase('a')
     await server.kill()
     await server.restart()
     console.log(await server.createDatabase('b'))
     await server.stop()
     console.log('as ' + process.getuid())`,
  )
  // The coverage of this run is kept where another user may not write.
  const env = { TMPDIR: '/tmp', NODE_V8_COVERAGE: undefined }
  await using child = spawnChild({ script, env })
  expect(await child.exited, child.lines.join('\n')).toEqual({ code: 0, signal: null })
  expect(child.lines).toEqual([expect.stringMatching(/^postgres:.*\/b$/u), `as ${nobody.uid}`])
})

test.skipIf(!isRoot)(
  'binaries under a home that only root can read are copied for the user of the server',
  async () => {
    const { postgres } = await findPostgres()
    const home = temporaryFolder(0o700)
    const native = join(home, 'native')
    cpSync(dirname(dirname(postgres)), native, { recursive: true, verbatimSymlinks: true })
    // As an install under a strict umask leaves them.
    for (const path of [native, join(native, 'bin'), join(native, 'lib'), join(native, 'share')])
      chmodSync(path, 0o700)
    const found = { initdb: join(native, 'bin', 'initdb'), postgres: join(native, 'bin', 'postgres') }
    const user = serverUser()
    expect(canRun(found.postgres, user)).toBe(false)
    const copied = prepareBinaries(found, user, temporaryFolder(0o755))
    expect(canRun(copied.postgres, user)).toBe(true)
    expect(canRun(copied.initdb, user)).toBe(true)
  },
)
