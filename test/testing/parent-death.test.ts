import { chmodSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { spawnChild, type Child } from '../../src/testing/child.ts'
import { isGone, processTree } from '../../src/testing/process-tree.ts'
import { until } from '../../src/testing/until.ts'
import { describeWithKafka } from '../setup/servers.ts'

interface Scene {
  readonly parent: Child
  /** Where the parent's servers put their data. */
  readonly folder: string
}

/** A process that runs `text`, in which servers can be started, and then does nothing more. */
function parentWith(text: string): Scene {
  const folder = mkdtempSync(join(tmpdir(), 'waybill-parent-'))
  onTestFinished(() => {
    rmSync(folder, { recursive: true, force: true })
  })
  // Servers of root run as another user.
  chmodSync(folder, 0o777)
  const script = join(folder, 'parent.ts')
  const module = (name: string): string => new URL(`../../src/testing/${name}.ts`, import.meta.url).href
  const imports = `
    import { startPostgres } from '${module('postgres-server')}'
    import { startKafka } from '${module('kafka-server')}'`
  writeFileSync(script, `${imports}\n${text}`)
  const parent = spawnChild({ script, env: { TMPDIR: folder } })
  onTestFinished(async () => {
    await parent.kill()
  })
  return { parent, folder }
}

async function serverPid(parent: Child): Promise<number> {
  return Number((await parent.waitForLine((line) => /^pid \d+$/u.test(line))).slice(4))
}

async function nothingIsLeft({ folder }: Scene, tree: readonly number[]): Promise<void> {
  expect(tree.length).toBeGreaterThan(0)
  await until('the end of the server', () => tree.every(isGone))
  await until('an empty folder', () => readdirSync(folder).length === 1)
}

const waits = 'setInterval(() => {}, 60_000)'

describe('a PostgreSQL whose parent ends', () => {
  test('ends when the parent is killed with SIGKILL, and its data goes', async () => {
    const scene = parentWith(
      `const server = await startPostgres(); console.log('pid ' + server.pid()); ${waits}`,
    )
    const tree = processTree(await serverPid(scene.parent))
    expect(readdirSync(scene.folder)).toHaveLength(2)
    await scene.parent.kill()
    await nothingIsLeft(scene, tree)
  })

  test('ends though it was paused', async () => {
    const scene = parentWith(
      `const server = await startPostgres(); await server.pause(); console.log('pid ' + server.pid()); ${waits}`,
    )
    const tree = processTree(await serverPid(scene.parent))
    await scene.parent.kill()
    await nothingIsLeft(scene, tree)
  })

  test('leaves no data when it was down at that moment', async () => {
    const scene = parentWith(
      `const server = await startPostgres(); console.log('pid ' + server.pid())
       await server.kill(); console.log('down'); ${waits}`,
    )
    const pid = await serverPid(scene.parent)
    await scene.parent.waitForLine((line) => line === 'down')
    await scene.parent.kill()
    await nothingIsLeft(scene, [pid])
  })

  test('ends with a parent that forgot to stop it, and does not hold that parent', async () => {
    const scene = parentWith(`const server = await startPostgres(); console.log('pid ' + server.pid())`)
    const pid = await serverPid(scene.parent)
    expect(await scene.parent.exited).toEqual({ code: 0, signal: null })
    await nothingIsLeft(scene, [pid])
  })
})

describeWithKafka('a Kafka broker whose parent ends', () => {
  test('ends when the parent is killed with SIGKILL, and its log goes', async () => {
    const scene = parentWith(
      `const server = await startKafka(); console.log('pid ' + server.pid()); ${waits}`,
    )
    const tree = processTree(await serverPid(scene.parent))
    await scene.parent.kill()
    await nothingIsLeft(scene, tree)
  })
})
