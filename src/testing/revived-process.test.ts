import { expect, onTestFinished, test } from 'vitest'
import { RevivedProcess } from './revived-process.ts'
import { until } from './until.ts'

interface Scene {
  readonly revived: RevivedProcess
  readonly broken: string[]
}

/** A process whose n-th life runs the script `lifeOf(n)`; it is at work when it says `ready`. */
function scene(lifeOf: (n: number) => string): Scene {
  const broken: string[] = []
  const revived = new RevivedProcess({
    name: 'worker',
    spawn: (n) => ({ command: process.execPath, args: ['-e', lifeOf(n)] }),
    isReady: (line) => line === 'ready',
    onBroken: (how, said) => broken.push(`${how}: ${said.join(', ')}`),
  })
  onTestFinished(() => revived.end())
  return { revived, broken }
}

const works = 'console.log("ready"); setInterval(() => {}, 60_000)'
const fails = 'console.log("no"); process.exit(3)'
const notStarted = { code: 'WB_NOT_RUNNING', message: expect.stringContaining('worker') }

test('a process that is killed is started again, and whoever waits for that hears of it', async () => {
  const { revived } = scene(() => works)
  await revived.start()
  const { pid } = revived.state
  await revived.kill()
  await revived.restart()
  expect(revived.state).toMatchObject({ state: 'running', kills: 1 })
  expect(revived.state.pid).not.toBe(pid)
})

test('who waits for the next life hears of the one after it, where the next fails before it is at work', async () => {
  const { revived } = scene((n) => (n === 1 ? fails : works))
  await revived.start()
  await revived.kill()
  await revived.restart()
  expect(revived.state.state).toBe('running')
})

test('who waits for one that keeps ending by itself is told that it is not started again', async () => {
  const { revived, broken } = scene((n) => (n === 0 ? works : fails))
  await revived.start()
  await revived.kill()
  await expect(revived.restart()).rejects.toThrow(expect.objectContaining(notStarted))
  expect(broken).toEqual(['exit code 3: no'])
  await expect(revived.restart()).rejects.toThrow(expect.objectContaining(notStarted))
})

test('how it ended by itself while it was at work is known, and nothing else', async () => {
  const { revived } = scene(
    (n) => ['console.log("ready"); setImmediate(() => process.exit(4))', fails, works][n]!,
  )
  await revived.start()
  await until('its third life', () => revived.said.includes('no') && revived.state.state === 'running')
  await revived.kill()
  expect(revived.exits).toEqual(['exit code 4'])
})

test('who waits for one that is ended for good is told so', async () => {
  const { revived } = scene((n) => (n === 0 ? works : 'setInterval(() => {}, 60_000)'))
  await revived.start()
  await revived.kill()
  await until('its next life', () => revived.state.pid !== null)
  const waiting = revived.restart()
  await Promise.all([expect(waiting).rejects.toThrow(expect.objectContaining(notStarted)), revived.end()])
  await expect(revived.restart()).rejects.toThrow(expect.objectContaining(notStarted))
  await expect(revived.start()).rejects.toThrow(expect.objectContaining({ code: 'WB_ABORTED' }))
})

test('one that is asked to end is started again, and that is no end by itself unless it fails', async () => {
  const ends = (code: number): string =>
    `process.once("SIGTERM", () => process.exit(${code})); console.log("ready"); setInterval(() => {}, 60_000)`
  const { revived, broken } = scene((n) => [ends(0), ends(5)][n] ?? works)
  await revived.start()
  const { pid } = revived.state
  await revived.shutDown()
  await revived.restart()
  expect(revived.state).toMatchObject({ state: 'running', kills: 0 })
  expect(revived.state.pid).not.toBe(pid)
  expect(revived.exits).toEqual([])
  await revived.shutDown()
  await revived.restart()
  expect(revived.exits).toEqual(['exit code 5'])
  expect(broken).toEqual([])
})
