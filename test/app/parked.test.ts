import { Client } from 'pg'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createWaybill, defineChannel, type Waybill } from '../../src/index.ts'
import { type PgClient, postgresStore } from '../../src/postgres.ts'
import type { Fate, OutboundMessage, Publisher, TransportDefinition } from '../../src/ports/transport.ts'
import { until } from '../../src/testing.ts'
import { postgresDatabase } from '../setup/servers.ts'

interface Step {
  readonly key: string
  readonly number: number
}

const steps = defineChannel<Step>({ name: 'steps', key: ({ key }) => key, onPoison: 'park', maxAttempts: 2 })

/** A broker that orders its batches: what follows a message that it refuses is refused with it. */
class Broker {
  readonly sent: string[] = []
  readonly refused = new Set<string>()

  definition(): TransportDefinition {
    const capabilities = {
      ordersBatch: true,
      isLocal: false,
      maxBytes: 10_000,
      confirms: true,
      settles: true,
      keepsOrder: true,
    } as TransportDefinition['capabilities']
    const openPublisher = async (): Promise<Publisher> => ({
      publish: async (batch) => this.#take(batch),
      close: async () => {},
    })
    return {
      kind: 'test',
      capabilities,
      open: () => ({ kind: 'test', capabilities, openPublisher, close: async () => {} }),
    }
  }

  #take(batch: readonly OutboundMessage[]): Fate[] {
    const held = new Set<string | null>()
    return batch.map(({ envelope }): Fate => {
      const { key, number } = JSON.parse(Buffer.from(envelope.payload).toString()) as Step
      const name = `${key}${number}`
      if (held.has(envelope.key) || this.refused.has(name)) {
        held.add(envelope.key)
        return { outcome: 'rejected', scope: 'message', retryable: true, code: 'E', reason: 'no' }
      }
      this.sent.push(name)
      return { outcome: 'confirmed' }
    })
  }

  of(key: string): number[] {
    return this.sent.filter((name) => name.startsWith(key)).map((name) => Number(name.slice(1)))
  }
}

let url: string
let client: Client
let broker: Broker
const open: Waybill<PgClient>[] = []

beforeEach(async () => {
  ;({ url } = await postgresDatabase())
  client = new Client({ connectionString: url })
  await client.connect()
  broker = new Broker()
  await instance().migrate()
})

afterEach(async () => {
  for (const waybill of open.splice(0)) await waybill.stop()
  await client.end()
})

function instance(): Waybill<PgClient> {
  const waybill = createWaybill<PgClient>(
    {
      store: postgresStore({ connectionString: url }),
      transports: { broker: broker.definition() },
      channels: [steps],
      leaseMs: 2000,
      pollMaxMs: 10,
      partitions: 2,
      retryInitialMs: 2,
      retryMaxMs: 5,
      logLevel: 'silent',
    },
    {},
  )
  open.push(waybill)
  return waybill
}

async function relays(): Promise<Waybill<PgClient>> {
  const [first, second] = [instance(), instance()]
  await first.start()
  await second.start()
  return first
}

const publish = (waybill: Waybill<PgClient>, key: string, ...numbers: number[]): Promise<void> =>
  waybill.transaction(async (tx) => {
    for (const number of numbers) await waybill.publish(tx, steps, { key, number })
  })

async function count(table: string): Promise<number> {
  const { rows } = await client.query<{ n: number }>(`select count(*)::int as n from waybill.${table}`)
  return rows[0]!.n
}

const numbers = (from: number, to: number): number[] =>
  Array.from({ length: to - from + 1 }, (_, i) => from + i)
const drained = (): Promise<unknown> => until('the drain', async () => (await count('outbox')) === 0)
const parked = (n: number): Promise<unknown> =>
  until(`${n} dead letters`, async () => (await count('dead')) === n)

describe('a parked key, under relays that go on', () => {
  it('comes back whole and in its old order, while it is written to and other keys are sent', async () => {
    const waybill = await relays()
    broker.refused.add('a3')
    for (let n = 1; n <= 40; n++) await publish(waybill, 'a', n)
    await publish(waybill, 'b', ...numbers(1, 20))
    await parked(38)
    await until('another key goes on', () => broker.of('b').length === 20)
    expect(broker.of('a')).toEqual([1, 2])
    broker.refused.clear()
    let n = 40
    const writing = (async () => {
      while (broker.of('a').length < 60 && n < 400) await publish(waybill, 'a', ++n)
    })()
    expect(await waybill.deadLetters.replay({ channel: 'steps', key: 'a' })).toMatchObject({
      keys: 1,
      left: [],
    })
    await writing
    await drained()
    expect(broker.of('a')).toEqual(numbers(1, n))
    expect([await count('dead'), await count('blocked')]).toEqual([0, 0])
  })

  it('goes on without its head where that is skipped, and is free where it is purged', async () => {
    const waybill = await relays()
    broker.refused.add('a1').add('b1')
    await publish(waybill, 'a', ...numbers(1, 10))
    await publish(waybill, 'b', ...numbers(1, 10))
    await parked(20)
    expect(await waybill.keys.skip({ key: 'a' })).toMatchObject({ skipped: 1, returned: 9 })
    expect(await waybill.deadLetters.purge({ channel: 'steps', key: 'b' })).toMatchObject({
      purged: 10,
      keys: 1,
    })
    await publish(waybill, 'b', 11)
    await drained()
    expect(broker.of('a')).toEqual(numbers(2, 10))
    expect(broker.of('b')).toEqual([11])
    expect(await waybill.deadLetters.list()).toMatchObject([
      { key: 'a', reason: 'attempts-exhausted', isKeyParked: false },
    ])
  })

  it('keeps its order however often it is brought back before what is broken is mended', async () => {
    const waybill = await relays()
    broker.refused.add('a2')
    let last = 0
    for (let round = 0; round < 15; round++) {
      for (let i = 0; i < 5; i++) await publish(waybill, 'a', ++last)
      await waybill.deadLetters.replay({ all: true })
    }
    await until('it is parked', async () => (await waybill.keys.list({ state: 'parked' })).length === 1)
    broker.refused.clear()
    await until('it has come back', async () => {
      await waybill.deadLetters.replay({ all: true })
      return broker.of('a').length >= last
    })
    await drained()
    expect(broker.of('a')).toEqual(numbers(1, last))
    expect([await count('dead'), await count('blocked')]).toEqual([0, 0])
  })
})
