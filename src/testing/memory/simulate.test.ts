import { describe, expect, it } from 'vitest'
import { defineChannel } from '../../outbox/channel.ts'
import { many } from '../../outbox/many.ts'
import type { Guarantee } from '../../guarantees/guarantees.ts'
import { postgresStore } from '../../stores/postgres/store.ts'
import { kafkaTransport } from '../../transports/kafka/transport.ts'
import { simulate } from './simulate.ts'
import type { TestTransaction } from './transactions.ts'
import { createTestWaybill } from './test-waybill.ts'

const store = postgresStore({ connectionString: 'postgres://nobody@nowhere:1/none' })
const transports = { kafka: kafkaTransport({ brokers: ['nowhere:1'] }) }
const runs = 60

interface Played {
  /** Runs of the handler that committed, by message. */
  readonly effects: ReadonlyMap<string, number>
  /** In the order of commits. */
  readonly order: readonly string[]
  readonly outputs: number
}

/** Four messages of two keys over a channel whose handler adds a row and publishes, under faults. */
async function play(seed: number, guarantee: Guarantee, form?: 'inbox' | 'checkpoint'): Promise<Played> {
  const input = defineChannel<string>({ name: 'input', guarantee, key: (text) => text[0]! })
  const output = defineChannel<string>({ name: 'output' })
  const order: string[] = []
  await using waybill = createTestWaybill(
    { store, transports, channels: [input, output] },
    {
      begin() {
        const written: string[] = []
        return {
          tx: { add: (row: string) => void written.push(row) },
          commit: () => void order.push(...written),
        }
      },
    },
  )
  const options = {
    consumer: 'adder',
    idempotent: guarantee === 'effectively-once',
    ...(form === undefined ? {} : { form }),
  }
  waybill.consume(input, options, async ({ payload }, { tx }) => {
    ;(tx as unknown as { add(row: string): void }).add(payload)
    await waybill.publish(tx, output, payload)
  })
  await waybill.transaction((tx) => waybill.publish(tx, input, many(['a1', 'b1', 'a2', 'b2'])))
  await waybill.deliver({ seed, faults: true })
  const groups = Map.groupBy(order, (text) => text)
  const effects = new Map(['a1', 'a2', 'b1', 'b2'].map((text) => [text, groups.get(text)?.length ?? 0]))
  return { effects, order, outputs: waybill.published(output).length }
}

/** How seldom and how often a message had its effect; what must hold whatever the guarantee is looked at in each run. */
async function range(
  guarantee: Guarantee,
  form?: 'inbox' | 'checkpoint',
): Promise<{ least: number; most: number }> {
  const found = { least: Infinity, most: 0 }
  await simulate({ seed: 1, runs }, async (seed) => {
    const { effects, order, outputs } = await play(seed, guarantee, form)
    for (const count of effects.values()) {
      found.least = Math.min(found.least, count)
      found.most = Math.max(found.most, count)
    }
    expect(outputs).toBe(order.length)
    for (const key of ['a', 'b']) {
      const [one, two] = [order.indexOf(`${key}1`), order.indexOf(`${key}2`)]
      if (one >= 0 && two >= 0) expect(one).toBeLessThan(two)
    }
  })
  return found
}

describe('a simulation with faults', () => {
  it.each(['inbox', 'checkpoint'] as const)('shows one effect exactly once, by %s', async (form) => {
    expect(await range('exactly-once', form)).toEqual({ least: 1, most: 1 })
  })

  it.each(['at-least-once', 'effectively-once'] as const)(
    'shows repeats, and no loss, %s',
    async (guarantee) => {
      const { least, most } = await range(guarantee)
      expect(least).toBe(1)
      expect(most).toBeGreaterThan(1)
    },
  )

  it('shows losses, and no repeat, at most once', async () => {
    expect(await range('at-most-once')).toEqual({ least: 0, most: 1 })
  })

  it.each([
    [1, 'exactly-once'],
    [2, 'exactly-once'],
    [1, 'at-least-once'],
    [2, 'at-least-once'],
  ] as const)(
    'gives up nothing of a right handler where attempts are few: %i, %s',
    async (maxAttempts, guarantee) => {
      const input = defineChannel<string>({ name: 'input', guarantee, key: (text) => text[0]!, maxAttempts })
      let [ran, handled, duplicates, lost] = [0, 0, 0, 0]
      const begin = (): TestTransaction => ({ tx: {}, rollback: () => void (lost += 1) })
      await simulate({ seed: 1, runs: 200 }, async (seed) => {
        await using waybill = createTestWaybill({ store, transports, channels: [input] }, { begin })
        waybill.consume(input, { consumer: 'counting' }, () => void (ran += 1))
        await waybill.transaction((tx) => waybill.publish(tx, input, many(['a1', 'b1', 'a2', 'b2', 'c1'])))
        const report = await waybill.deliver({ seed, faults: true })
        handled += report.handled
        duplicates += report.duplicates
      })
      // Of a run whose end was lost, or not answered, nothing is told.
      expect(ran).toBeGreaterThan(handled)
      // With one attempt too: of a batch a lost connection costs none.
      expect(lost).toBeGreaterThan(0)
      if (guarantee === 'exactly-once') expect(duplicates).toBeGreaterThan(0)
    },
  )

  it('is the same again for the same seed, and names the seed of a run that fails', async () => {
    expect(await play(7, 'at-least-once')).toEqual(await play(7, 'at-least-once'))
    const scenario = async (seed: number): Promise<void> => {
      const { effects } = await play(seed, 'at-least-once')
      expect(Math.max(...effects.values())).toBe(1)
    }
    const failure = await simulate({ seed: 1 }, scenario).catch((error: unknown) => error as Error)
    expect(failure).toMatchObject({ code: 'WB_PROOF_FAILED', cause: expect.any(Error) })
    const seed = Number(/seed: (\d+)/u.exec((failure as Error).message)![1])
    await expect(simulate({ seed, runs: 1 }, scenario)).rejects.toMatchObject({ code: 'WB_PROOF_FAILED' })
    expect(await simulate({ runs: 2 }, async () => {})).toMatchObject({ runs: 2 })
  })
})
