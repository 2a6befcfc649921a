import { expect, it } from 'vitest'
import { row } from '../../test/model/by-hand.ts'
import { systemClock, systemRandom } from '../kernel/clock.ts'
import { silentLogger } from '../kernel/logger.ts'
import type { Outbox, OutboxRow, ReadRequest, ReadResult } from '../ports/outbox.ts'
import type { LeaseSession } from '../ports/leases.ts'
import type { Store } from '../ports/store.ts'
import type { Fate } from '../ports/transport.ts'
import { Relay, type RelayOptions } from './relay.ts'

const leases: LeaseSession = {
  relayId: 'r',
  renew: async (held) => held,
  claim: async () => [{ partition: 0, epoch: 1n }],
  survey: async () => ({ relays: 1, rank: 0, partitions: 1, closed: [] }),
  release: async () => {},
  close: async () => {},
}

function resultOf({ partitions }: ReadRequest, rows: readonly OutboxRow[]): ReadResult {
  const top = rows.at(-1)?.seq
  return {
    snapshot: { xmax: 100n, open: [] },
    server: 'a',
    serverTimeMs: 0,
    inRecovery: false,
    hasLines: false,
    rewinds: new Map(partitions.map(({ partition }) => [partition, 0n])),
    tops: new Map(top === undefined ? [] : [[0, top]]),
    unseen: new Set<number>(),
    marks: new Map(partitions.map(({ partition }) => [partition, '0/0'])),
    nextDueInMs: null,
    rows,
    orphans: [],
  }
}

const rules = { ordered: false, maxAttempts: 3, retry: { initialMs: 50, maxMs: 50 } } as const

function relayWith(
  outbox: Partial<Outbox>,
  session: LeaseSession,
  form: 'confirm' | 'take',
  senders: Pick<RelayOptions, 'sender' | 'once'>,
): Relay {
  return new Relay({
    lane: { transport: 'fake', consumer: '' },
    store: { openOutbox: async () => outbox, openLeases: async () => session } as unknown as Store,
    ...senders,
    mind: {
      channels: new Map([['views', { form, ...rules }]]),
      ordersBatch: true,
      batchSize: 1000,
      readLimit: 1000,
      lateLimit: 1000,
      lookLimit: 1000,
      maxInFlight: 10_000,
      maxInFlightBytes: 1e9,
      maxKeyBacklog: 1000,
      maxSends: 1,
      removeLimit: 1000,
      sendTimeoutMs: 1000,
      poll: { initialMs: 10, maxMs: 1000 },
      hold: { initialMs: 50, maxMs: 50 },
    },
    leaseMs: 10_000,
    stopTimeoutMs: 1000,
    clock: systemClock,
    random: systemRandom,
    logger: silentLogger,
  })
}

/** What the relay asks for from its first read on, up to the send of what that found and the next read. */
async function firstCalls(rows: readonly OutboxRow[]): Promise<readonly string[]> {
  const calls: string[] = []
  const both = Promise.withResolvers<void>()
  const called = (call: string): void => {
    calls.push(call)
    if (calls.length === 3) both.resolve()
  }
  const outbox = {
    read: async (request: ReadRequest) => {
      called('read')
      return resultOf(request, calls.length === 1 ? rows : [])
    },
    remove: async () => ({ removed: 0 }),
    close: async () => {},
  } satisfies Partial<Outbox>
  const relay = relayWith(outbox, leases, 'confirm', {
    sender: {
      // As a pool gives its connection: in a later tick of the same turn.
      send: async (sent) => {
        await new Promise<void>((resolve) => process.nextTick(resolve))
        called(`send ${sent.length}`)
        return sent.map(() => ({ outcome: 'confirmed' }))
      },
    },
  })
  await relay.start()
  await both.promise
  const first = [...calls]
  await relay.stop()
  return first
}

const rowsOf = (count: number): OutboxRow[] => Array.from({ length: count }, (_, i) => row(i + 1, null))

it('hands a few rows over before it reads on, since a read on its way would keep them waiting', async () => {
  expect(await firstCalls(rowsOf(1))).toEqual(['read', 'send 1', 'read'])
})

it('reads on while it hands many rows over', async () => {
  expect(await firstCalls(rowsOf(500))).toEqual(['read', 'read', 'send 500'])
})

it('gives up no partition, and not its session, while what it sent once may still be on its way (O1)', async () => {
  const steps: string[] = []
  const [sent, flushing, flushed] = [0, 1, 2].map(() => Promise.withResolvers<void>())
  const rows = rowsOf(1)
  const outbox = {
    read: async (request: ReadRequest) => resultOf(request, rows.splice(0)),
    take: async (_: string, taken: readonly unknown[]) => taken.map(() => 'taken' as const),
    endTaken: async () => {},
    close: async () => {},
  } satisfies Partial<Outbox>
  const session: LeaseSession = {
    ...leases,
    release: async () => void steps.push('released'),
    close: async () => void steps.push('closed'),
  }
  const relay = relayWith(outbox, session, 'take', {
    sender: { send: async () => [] },
    once: {
      send: async (taken) => {
        sent!.resolve()
        return taken.map(() => null)
      },
      flush: async () => {
        flushing!.resolve()
        await flushed!.promise
        steps.push('flushed')
      },
    },
  })
  await relay.start()
  await sent!.promise
  const stopping = relay.stop()
  await flushing!.promise
  expect(steps).toEqual([])
  flushed!.resolve()
  await stopping
  expect(steps).toEqual(['flushed', 'released', 'closed'])
})

it('tells how its counters are, and once more when all that was under way has ended', async () => {
  const rows = rowsOf(1)
  const sent = Promise.withResolvers<void>()
  const outbox = {
    read: async (request: ReadRequest) => resultOf(request, rows.splice(0)),
    remove: async () => ({ removed: 1 }),
    close: async () => {},
  } satisfies Partial<Outbox>
  const send = async (): Promise<readonly Fate[]> => {
    sent.resolve()
    return [{ outcome: 'confirmed' }]
  }
  const relay = relayWith(outbox, leases, 'confirm', { sender: { send } })
  await relay.start()
  const before = relay.status()!
  await sent.promise
  const during = relay.status()!
  await relay.stop()
  expect([before.counters.sent, during.counters.sent, during.counters.confirmed]).toEqual([0, 1, 0])
  expect([relay.status(), relay.last!.counters]).toMatchObject([null, { sent: 1, confirmed: 1 }])
})
