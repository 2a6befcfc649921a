import { Client } from 'pg'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import {
  type ChannelOptions,
  createWaybill,
  defineChannel,
  RejectMessage,
  RetryLater,
  type Waybill,
} from '../../src/index.ts'
import { localTransport } from '../../src/local.ts'
import { type PgClient, postgresStore } from '../../src/postgres.ts'
import type { Fate, TransportDefinition } from '../../src/ports/transport.ts'
import { until } from '../../src/testing.ts'
import { postgresDatabase } from '../setup/servers.ts'

interface Step {
  readonly key: string
  readonly number: number
}

type StepChannel = ReturnType<typeof stepsOf>
const stepsOf = (options: Pick<ChannelOptions<Step>, 'onPoison' | 'maxAttempts' | 'expiresAfterMs'> = {}) =>
  defineChannel<Step>({ name: 'steps', key: ({ key }) => key, ...options })

/** Names of steps, as `a1`, in the order in which they were handled or sent. */
let done: string[]
/** What is refused for good. */
let refused: Set<string>
let url: string
let client: Client
const open: Waybill<PgClient>[] = []

/** Confirms what is not refused; what follows a refused one in its batch is refused with it, as a broker that orders batches does. */
function broker(): TransportDefinition {
  const capabilities = {
    ordersBatch: true,
    isLocal: false,
    maxBytes: 10_000,
    confirms: true,
    settles: true,
    keepsOrder: true,
  } as TransportDefinition['capabilities']
  const publish = async (batch: readonly { envelope: { key: string | null; payload: Uint8Array } }[]) => {
    const held = new Set<string | null>()
    return batch.map(({ envelope }): Fate => {
      const name = nameOf(JSON.parse(Buffer.from(envelope.payload).toString()) as Step)
      if (held.has(envelope.key) || refused.has(name)) {
        held.add(envelope.key)
        return { outcome: 'rejected', scope: 'message', retryable: false, code: 'E', reason: 'no' }
      }
      done.push(name)
      return { outcome: 'confirmed' }
    })
  }
  const openPublisher = async () => ({ publish, close: async () => {} })
  return {
    kind: 'test',
    capabilities,
    open: () => ({ kind: 'test', capabilities, openPublisher, close: async () => {} }),
  }
}

function instance(channel: StepChannel, over: 'local' | 'broker'): Waybill<PgClient> {
  const waybill = createWaybill<PgClient>(
    {
      store: postgresStore({ connectionString: url }),
      transports: { local: localTransport(), broker: broker() },
      channels: [channel.via(over)],
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

const nameOf = ({ key, number }: Step): string => `${key}${number}`
const of = (key: string, names: readonly string[] = done): string[] =>
  names.filter((name) => name.startsWith(key))

async function publish(waybill: Waybill<PgClient>, channel: StepChannel, ...names: string[]): Promise<void> {
  await waybill.transaction(async (tx) => {
    for (const name of names)
      await waybill.publish(tx, channel, { key: name[0]!, number: Number(name.slice(1)) })
  })
}

async function rows<Row>(sql: string): Promise<Row[]> {
  return (await client.query(sql)).rows as Row[]
}

const lines = (): Promise<{ state: string; consumer: string }[]> =>
  rows('select state, consumer from waybill.blocked order by consumer')
const letters = (): Promise<{ reason: string; consumer: string }[]> =>
  rows('select reason, consumer from waybill.dead order by number')
const drained = (): Promise<unknown> =>
  until('the drain', async () => (await rows('select from waybill.outbox')).length === 0)

beforeEach(async () => {
  ;({ url } = await postgresDatabase())
  client = new Client({ connectionString: url })
  await client.connect()
  done = []
  refused = new Set()
})

afterEach(async () => {
  for (const waybill of open.splice(0)) await waybill.stop()
  await client.end()
})

describe.each(['local', 'broker'] as const)('over %s', (over) => {
  async function start(channel: StepChannel): Promise<Waybill<PgClient>> {
    const waybill = instance(channel, over)
    await waybill.migrate()
    if (over === 'local') {
      waybill.consume(channel, { consumer: 'shipping' }, async ({ payload }) => {
        if (refused.has(nameOf(payload))) throw new RejectMessage('never')
        done.push(nameOf(payload))
      })
    }
    await waybill.start()
    return waybill
  }
  const consumer = over === 'local' ? 'shipping' : ''

  it('a blocked key waits over restarts while other keys go on, and keeps its order when it is unblocked (O1, O2)', async () => {
    const channel = stepsOf({ onPoison: 'block' })
    refused.add('a1')
    const first = await start(channel)
    await publish(first, channel, 'a1', 'a2', 'b1')
    await until('the line', async () => (await lines()).length === 1)
    expect(await lines()).toEqual([{ state: 'blocked', consumer }])
    await until('the other key', () => of('b').length === 1)
    await first.stop()
    const second = await start(channel)
    await publish(second, channel, 'a3', 'b2')
    await until('the other key', () => of('b').length === 2)
    expect([of('a'), await lines(), await letters()]).toEqual([[], [{ state: 'blocked', consumer }], []])
    refused.clear()
    await second.keys.unblock({ key: 'a' })
    await drained()
    expect(of('a')).toEqual(['a1', 'a2', 'a3'])
    expect(await lines()).toEqual([])
  })

  it('a parked key is set aside over restarts, with what is written to it later, and comes back in its order (O1, O2)', async () => {
    const channel = stepsOf({ onPoison: 'park' })
    refused.add('a1')
    const first = await start(channel)
    await publish(first, channel, 'a1', 'a2', 'b1')
    await drained()
    await first.stop()
    const second = await start(channel)
    await publish(second, channel, 'a3', 'b2')
    await drained()
    expect([of('a'), of('b')]).toEqual([[], ['b1', 'b2']])
    expect(await lines()).toEqual([{ state: 'parked', consumer }])
    expect((await letters()).map(({ reason }) => reason)).toEqual(['rejected', 'follower', 'follower'])
    refused.clear()
    await second.deadLetters.replay({ channel: 'steps', key: 'a' })
    await until('the key', () => of('a').length === 3)
    await drained()
    expect(of('a')).toEqual(['a1', 'a2', 'a3'])
    expect([await lines(), await letters()]).toEqual([[], []])
  })

  it('a skipped head leaves its key going on', async () => {
    const channel = stepsOf()
    refused.add('a1')
    const waybill = await start(channel)
    await publish(waybill, channel, 'a1', 'a2', 'a3')
    await drained()
    expect(of('a')).toEqual(['a2', 'a3'])
    expect(await letters()).toEqual([{ reason: 'rejected', consumer }])
    expect(await lines()).toEqual([])
  })

  it('a message that has waited too long is not sent, but counted once; the others are', async () => {
    const channel = stepsOf({ expiresAfterMs: 3_600_000 })
    const publisher = instance(channel, over)
    await publisher.migrate()
    // Of a local channel rows wait for whoever subscribes first.
    await publish(publisher, channel, 'a1', 'a2', 'b1')
    await client.query(
      `update waybill.outbox set created_at = now() - interval '2 hours' where convert_from(payload, 'UTF8') like '%1}'`,
    )
    await start(channel)
    await drained()
    expect(done).toEqual(['a2'])
    expect(await rows('select channel, consumer, cause, count::int as count from waybill.losses')).toEqual([
      { channel: 'steps', consumer, cause: 'expired', count: 2 },
    ])
  })
})

describe('consumers over local', () => {
  it('run a blocked head again when it is unblocked after a restart, though its attempts are used up', async () => {
    const channel = stepsOf({ onPoison: 'block', maxAttempts: 2 })
    let runs = 0
    let isMended = false
    const start = async (): Promise<Waybill<PgClient>> => {
      const waybill = instance(channel, 'local')
      await waybill.migrate()
      waybill.consume(channel, { consumer: 'shipping' }, async ({ payload }) => {
        runs++
        if (!isMended) throw new Error('broken')
        done.push(nameOf(payload))
      })
      await waybill.start()
      return waybill
    }
    const isBlocked = async (): Promise<boolean> => (await lines())[0]?.state === 'blocked'
    const first = await start()
    await publish(first, channel, 'a1')
    await until('the line', isBlocked)
    await first.stop()
    runs = 0
    const second = await start()
    // Not mended yet: it has all its attempts, and is blocked again by them alone.
    await second.keys.unblock({ key: 'a' })
    await until('both attempts', async () => runs === 2 && (await isBlocked()))
    await second.stop()
    isMended = true
    const third = await start()
    await third.keys.unblock({ key: 'a' })
    await drained()
    expect([done, runs]).toEqual([['a1'], 3])
  })

  it('are blocked and parked each for itself: another one of the channel has it all', async () => {
    const channel = stepsOf({ onPoison: 'park' })
    const waybill = instance(channel, 'local')
    await waybill.migrate()
    const billed: string[] = []
    waybill.consume(channel, { consumer: 'shipping' }, async ({ payload }) => {
      if (payload.key === 'a') throw new RejectMessage('never')
      done.push(nameOf(payload))
    })
    waybill.consume(channel, { consumer: 'billing' }, async ({ payload }) => {
      billed.push(nameOf(payload))
    })
    await waybill.start()
    await publish(waybill, channel, 'a1', 'a2', 'a3', 'b1')
    await drained()
    expect([done, of('a', billed), of('b', billed)]).toEqual([['b1'], ['a1', 'a2', 'a3'], ['b1']])
    expect(await lines()).toEqual([{ state: 'parked', consumer: 'shipping' }])
    expect(await letters()).toEqual(
      ['rejected', 'follower', 'follower'].map((reason) => ({ reason, consumer: 'shipping' })),
    )
  })

  it('are not held up by a message whose statement ends its session each time: it is given up (O2)', async () => {
    const channel = stepsOf({ maxAttempts: 2 })
    const waybill = instance(channel, 'local')
    await waybill.migrate()
    waybill.consume(channel, { consumer: 'shipping' }, async ({ payload }, { tx }) => {
      if (payload.key === 'b') await tx.query('select pg_terminate_backend(pg_backend_pid())')
      done.push(nameOf(payload))
    })
    await publish(waybill, channel, 'a1', 'b1', 'c1')
    await waybill.start()
    await drained()
    expect(await letters()).toEqual([{ reason: expect.any(String), consumer: 'shipping' }])
    await publish(waybill, channel, 'b2', 'c2')
    await until('the other key', () => of('c').includes('c2'))
    expect(of('b')).toEqual([])
  })

  it('that ask for a pause are asked again, and never run out of attempts', async () => {
    const channel = stepsOf({ onPoison: 'block', maxAttempts: 2 })
    const waybill = instance(channel, 'local')
    await waybill.migrate()
    let pauses = 6
    waybill.consume(channel, { consumer: 'shipping' }, async ({ payload }) => {
      if (payload.key === 'a' && pauses > 0) {
        pauses -= 1
        throw new RetryLater(5)
      }
      done.push(nameOf(payload))
    })
    await waybill.start()
    await publish(waybill, channel, 'a1', 'a2', 'b1')
    await drained()
    expect([of('a'), of('b'), pauses]).toEqual([['a1', 'a2'], ['b1'], 0])
    expect([await lines(), await letters()]).toEqual([[], []])
  })
})
