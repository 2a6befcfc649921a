import { beforeAll, expect, test } from 'vitest'
import type pg from 'pg'
import type { OutboxRow } from '../../../src/ports/outbox.ts'
import type { Store } from '../../../src/ports/store.ts'
import type { FencedNote, TakenOver } from '../../../src/ports/transport.ts'
import type { ChannelRules } from '../../../src/relay/mind/types.ts'
import type { Relay, RelayOptions } from '../../../src/relay/relay.ts'
import type { FencedSender, OnceSender } from '../../../src/relay/sender.ts'
import { until } from '../../../src/testing/until.ts'
import { postgresDatabase } from '../../setup/servers.ts'
import { smallRelay } from './small-relay.ts'
import { connect, openStore, openStreet, type Street } from './support.ts'
import { Deliveries, runWorkload, seeded } from './workload.ts'

let url: string
let store: Store
let observer: pg.Client

beforeAll(async () => {
  ;({ url } = await postgresDatabase())
  store = openStore({ connectionString: url })
  await store.schema.migrate()
  observer = await connect(url)
})

/** A log in memory: what is committed has arrived, with its note. One commit in five is not answered, and half of them happen. */
class Log {
  readonly deliveries = new Deliveries()
  readonly #last = new Map<number, FencedNote>()
  readonly #generations = new Map<number, number>()
  readonly #random = seeded(5)
  unanswered = 0

  /** A client of it, as each process has one. */
  open(): FencedSender {
    const mine = new Map<number, number>()
    return {
      takeOver: async (partition): Promise<TakenOver> => {
        const generation = (this.#generations.get(partition) ?? 0) + 1
        this.#generations.set(partition, generation)
        mine.set(partition, generation)
        return { last: this.#last.get(partition) ?? null, lineage: 'log' }
      },
      publish: async (partition, note, rows) => {
        await new Promise((resolve) => setImmediate(resolve))
        if (mine.get(partition) !== this.#generations.get(partition)) return { outcome: 'fenced' }
        const isAnswered = this.#random() > 0.2
        if (isAnswered || this.#random() < 0.5) {
          this.#last.set(partition, { ...note, rows: rows.map(({ seq, id }) => ({ seq, id })) })
          for (const row of rows) this.deliveries.add(row)
        }
        if (isAnswered) return { outcome: 'committed' }
        this.unanswered += 1
        return { outcome: 'unknown', code: 'NO_ANSWER', reason: 'no answer' }
      },
      release: async (partition) => void mine.delete(partition),
    }
  }
}

function relayOn(
  street: Street,
  form: ChannelRules['form'],
  senders: Pick<RelayOptions, 'once' | 'fenced'>,
): Relay {
  const sender = { send: () => Promise.reject(new Error('nothing here is sent and confirmed')) }
  return smallRelay(street, { store, sender, form, ...senders })
}

async function count(text: string, street: Street): Promise<number> {
  const { rows } = await observer.query(`select count(*)::int as n from waybill.${text}`, [street.channel])
  return rows[0].n
}

function work(street: Street, seed: number): Promise<ReadonlyMap<string, number>> {
  // Slow writers hold their transactions open for some ticks of this, in place of reads.
  let ticks = 0
  return runWorkload({ url, store, street, seed, reads: () => (ticks += 1), rounds: 15 })
}

test('exactly once: each message is in the log once and in order, whoever takes over and whatever is not answered', async () => {
  const street = await openStreet(url, store, { partitions: 8 })
  const log = new Log()
  const [first, second] = [log, log].map((each) => relayOn(street, 'fence', { fenced: each.open() }))
  await first!.start()
  const writing = work(street, 8000)
  await until('some deliveries', () => log.deliveries.total > 50)
  await second!.start()
  await until('a share for the second', () => (second!.status()?.partitions.length ?? 0) > 0)
  await first!.stop()
  const written = await writing
  await until('an empty outbox', async () => (await count('outbox where channel = $1', street)) === 0)
  await second!.stop()
  const { expected, ...faults } = log.deliveries.judge(written)
  expect(faults).toEqual({ lost: 0, twice: 0, outOfOrder: 0 })
  expect(log.deliveries.total).toBe(expected)
  expect(expected).toBeGreaterThan(100)
  expect(log.unanswered).toBeGreaterThan(0)
})

test('at most once: each message is sent once and in order, or counted, while a destination comes and goes', async () => {
  const street = await openStreet(url, store, { partitions: 8 })
  const deliveries = new Deliveries()
  const random = seeded(3)
  let questions = 0
  const once: OnceSender = {
    isReady: async () => (questions += 1) % 5 !== 0,
    send: async (rows: readonly OutboxRow[]) => {
      await new Promise((resolve) => setImmediate(resolve))
      return rows.map((row) => {
        if (random() < 0.1) return { cause: 'not-sent', code: 'DROPPED' }
        deliveries.add(row)
        return null
      })
    },
  }
  const relay = relayOn(street, 'take', { once })
  await relay.start()
  const written = await work(street, 9000)
  await until('an empty outbox', async () => (await count('outbox where channel = $1', street)) === 0)
  await until('every loss to be noted', async () => (await count('taken where channel = $1', street)) === 0)
  const { lost } = relay.status()!.counters
  await relay.stop()
  const verdict = deliveries.judge(written)
  expect(verdict).toMatchObject({ twice: 0, outOfOrder: 0 })
  expect(verdict.lost).toBeGreaterThan(0)
  expect(verdict.lost).toBe(lost)
})
