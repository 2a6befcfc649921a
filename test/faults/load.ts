import { expect } from 'vitest'
import {
  accounted,
  effectLedger,
  ghosts,
  judge,
  notVacuous,
  perKeyOrder,
  totalQueue,
  until,
} from '../../src/testing.ts'
import { Scene } from '../crash/scene.ts'

/** What is demanded of the time from a server's return to the next effect. */
const resumeWithinMs = 10_000

export async function effects(scene: Scene): Promise<number> {
  const [row] = await scene.sql(scene.settings.consumerUrl, 'select count(*)::int as n from effects')
  return Number(row!['n'])
}

export async function underLoad(scene: Scene): Promise<void> {
  await until('the first effects', async () => (await effects(scene)) > 20)
}

/** From the server's return: within the time the issue gives, an effect that was not there before. */
export async function resumed(scene: Scene): Promise<void> {
  const before = await effects(scene)
  await until('the next effect', async () => (await effects(scene)) > before, { timeoutMs: resumeWithinMs })
}

export async function expectValid(scene: Scene, minFaults = 1): Promise<void> {
  await scene.drained(40_000)
  const history = await scene.history()
  const results = [
    totalQueue(history),
    effectLedger(history),
    ghosts(history),
    perKeyOrder(history),
    accounted(history),
    notVacuous(history, { minCommitted: 100, minFaults, isDrained: true, pending: 0 }),
  ]
  const { anomalies, verdict } = judge(results, 'exactly-once')
  expect(anomalies).toEqual([])
  expect(verdict).toBe('valid')
}

/** Nothing ended by itself, nothing was left unhandled, and each ends cleanly when it is told to. */
export async function expectCalm(scene: Scene, names: readonly string[]): Promise<void> {
  for (const name of names) {
    const { code, signal } = await scene.child(name).terminate()
    const said = scene.child(name).lines.join('\n')
    expect(said).not.toMatch(/unhandled|uncaught|ERR_/iu)
    expect(`${name}: ${signal ?? code}`, said).toBe(`${name}: 0`)
  }
}

/** The scene over Kafka at work, with so many relays. */
export async function overKafka(
  url: string,
  brokers: readonly string[],
  relays: readonly string[] = ['relay'],
  relayUrl: string = url,
): Promise<Scene> {
  const scene = await Scene.open({ producerUrl: url, relayUrl, brokers, orders: 1500, isPatient: true })
  for (const name of relays) scene.start('relay', name)
  scene.start('consumer')
  scene.start('writer')
  await underLoad(scene)
  return scene
}
