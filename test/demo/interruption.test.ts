import { chmodSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { isGone, processTree } from '../../src/testing/process-tree.ts'
import { until } from '../../src/testing/until.ts'
import { startWaybill, type RunningCommand } from '../cli/waybill-command.ts'

let folder: string
let command: RunningCommand | undefined

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'demo-interruption-'))
  // Like /tmp: the database server may run as another user, who makes and removes its data in here.
  chmodSync(folder, 0o1777)
})
afterEach(() => {
  command?.process.kill('SIGKILL')
  rmSync(folder, { recursive: true, force: true })
})

function start(): RunningCommand {
  // No coverage of these: they are ended while they end, and would still be writing it.
  const env = { TMPDIR: folder, NODE_V8_COVERAGE: undefined }
  command = startWaybill(['demo', '--seconds', '3', '--json'], { env })
  return command
}

/** Everything it has started, keepers and servers included; more than itself, or the test would show nothing. */
function startedBy({ process }: RunningCommand): readonly number[] {
  const tree = processTree(process.pid!)
  expect(tree.length).toBeGreaterThan(2)
  return tree
}

async function expectNothingLeft(tree: readonly number[]): Promise<void> {
  await until('the end of every process', () => tree.every(isGone), { timeoutMs: 20_000 })
  await until('the end of its temporary folders', () => readdirSync(folder).length === 0, {
    timeoutMs: 20_000,
  })
}

describe('Ctrl-C', () => {
  it('leaves nothing behind while the database starts', async () => {
    const demo = start()
    await until('the first process', () => processTree(demo.process.pid!).length > 2)
    const tree = startedBy(demo)
    demo.process.kill('SIGINT')
    const { code, stdout, stderr } = await demo.ended
    expect({ code, stderr }).toMatchObject({
      code: 130,
      stderr: expect.stringContaining('Stopped before its end'),
    })
    expect(JSON.parse(stdout)).toMatchObject({ error: { code: 'WB_ABORTED' } })
    await expectNothingLeft(tree)
  })

  it.each(['starting', 'running', 'draining'])('leaves nothing behind in the phase %s', async (phase) => {
    const demo = start()
    await demo.sees(`${phase} `)
    const tree = startedBy(demo)
    demo.process.kill('SIGINT')
    const { code } = await demo.ended
    expect(code).toBe(130)
    await expectNothingLeft(tree)
  })

  it('counts once where npx hands it on a second time', async () => {
    const demo = start()
    await demo.sees('running ')
    demo.process.kill('SIGINT')
    demo.process.kill('SIGINT')
    const { code, stderr } = await demo.ended
    expect(code).toBe(130)
    expect(stderr).toContain('Stopped before its end')
  })

  it('leaves nothing behind where the demo itself is killed', async () => {
    const demo = start()
    await demo.sees('running ')
    const tree = startedBy(demo)
    demo.process.kill('SIGKILL')
    await demo.ended
    await expectNothingLeft(tree)
  })

  it('ends with SIGTERM too', async () => {
    const demo = start()
    await demo.sees('running ')
    const tree = startedBy(demo)
    demo.process.kill('SIGTERM')
    expect((await demo.ended).code).toBe(143)
    await expectNothingLeft(tree)
  })
})
