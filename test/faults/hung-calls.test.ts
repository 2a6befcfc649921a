import { expect, test } from 'vitest'
import { systemClock } from '../../src/kernel/clock.ts'
import { silentLogger } from '../../src/kernel/logger.ts'
import type { OutboxRow } from '../../src/ports/outbox.ts'
import type { Store } from '../../src/ports/store.ts'
import type { Fate, FencedNote } from '../../src/ports/transport.ts'
import type { ChannelRules } from '../../src/relay/mind/types.ts'
import { Relay, type RelayStatus } from '../../src/relay/relay.ts'
import type { FencedSender, OnceSender } from '../../src/relay/sender.ts'
import { startProxy, until } from '../../src/testing.ts'
import { postgresDatabase } from '../setup/servers.ts'
import { connect, message, openStore, openStreet, publish, type Street } from '../stores/postgres/support.ts'

/** One after another, so that each call is the relay's own and no other's. */
const limits = { statementTimeoutMs: 500, lockTimeoutMs: 400, leaseMs: 3000 }

const rejected: Fate = {
  outcome: 'rejected',
  scope: 'message',
  retryable: true,
  code: 'E',
  reason: 'not this time',
}
const confirmed: Fate = { outcome: 'confirmed' }

interface Case {
  /** Of the prepared statement whose answer never comes. */
  readonly statement: string
  /** What the relay says that it waits for. */
  readonly what: string
  readonly form?: ChannelRules['form']
  /** Messages of key `poor` are rejected the first time; `for ever`: until they are given up. */
  readonly rejects?: 'once' | 'for ever'
  readonly loses?: boolean
  /** Of the messages that are there at first. @default one of `good` and one of `poor` */
  readonly keys?: readonly string[]
  readonly rules?: Pick<ChannelRules, 'onPoison' | 'expiresAfterMs'>
}

const cases: readonly Case[] = [
  { statement: 'read', what: 'reading the outbox' },
  { statement: 'remove', what: 'deleting delivered messages' },
  { statement: 'block', what: 'writing what failed', rejects: 'once' },
  { statement: 'bury', what: 'writing dead letters', rejects: 'for ever' },
  // The server has taken them, and nobody was told: at most once they are lost, and counted as soon as the store answers (A3).
  { statement: 'take', what: 'taking messages', form: 'take', loses: true },
  { statement: 'end_taken', what: 'noting the end of taken messages', form: 'take' },
  {
    statement: 'move_followers',
    what: 'moving what stands behind a parked message',
    rejects: 'for ever',
    keys: ['good', 'poor', 'poor'],
    rules: { onPoison: 'park' },
  },
  // All of them are too old before anybody sends them.
  { statement: 'lose', what: 'deleting lost messages', rules: { expiresAfterMs: 1 } },
  { statement: 'fenced_states', what: 'reading what was sent exactly once', form: 'fence' },
  { statement: 'remove_fenced', what: 'deleting what was sent exactly once', form: 'fence' },
  { statement: 'survey', what: 'looking at the lane' },
  { statement: 'renew', what: 'renewing leases' },
  { statement: 'claim', what: 'claiming partitions' },
  { statement: 'join', what: 'joining the lane' },
]

interface RelayParts {
  readonly store: Store
  readonly street: Street
  readonly form: ChannelRules['form']
  readonly maxAttempts: number
  readonly send: (rows: readonly OutboxRow[]) => Promise<readonly Fate[]>
  readonly once?: OnceSender
  readonly fenced?: FencedSender
  readonly rules?: Case['rules']
}

/** A broker that keeps the last note of each partition. */
function fencedBroker(onRows: (rows: readonly OutboxRow[]) => void): FencedSender {
  const notes = new Map<number, FencedNote>()
  return {
    takeOver: async (partition) => ({ last: notes.get(partition) ?? null, lineage: 'l' }),
    publish: async (partition, note, rows) => {
      notes.set(partition, { ...note, rows: rows.map(({ seq, id }) => ({ seq, id })) })
      onRows(rows)
      return { outcome: 'committed' }
    },
    release: async () => {},
  }
}

function relayOf({ store, street, form, maxAttempts, send, once, fenced, rules }: RelayParts): Relay {
  return new Relay({
    lane: street.lane,
    store,
    sender: { send },
    ...(once === undefined ? {} : { once }),
    ...(fenced === undefined ? {} : { fenced }),
    leaseMs: limits.leaseMs,
    stopTimeoutMs: 5000,
    clock: systemClock,
    random: Math.random,
    logger: silentLogger,
    mind: {
      channels: new Map([
        [street.channel, { form, ordered: true, maxAttempts, retry: { initialMs: 1, maxMs: 5 }, ...rules }],
      ]),
      ordersBatch: true,
      batchSize: 20,
      readLimit: 50,
      lateLimit: 50,
      lookLimit: 1000,
      maxInFlight: 100,
      maxInFlightBytes: 1_000_000,
      maxKeyBacklog: 50,
      maxSends: 2,
      removeLimit: 50,
      sendTimeoutMs: 500,
      poll: { initialMs: 5, maxMs: 20 },
      hold: { initialMs: 5, maxMs: 20 },
    },
  })
}

test.for(cases)(
  'a relay whose call "$what" is never answered says so, and goes on by itself (P12)',
  async ({
    statement,
    what,
    form = 'confirm',
    rejects,
    loses = false,
    keys = ['good', 'poor'],
    rules = {},
  }) => {
    const { url } = await postgresDatabase()
    await using proxy = await startProxy({ port: Number(new URL(url).port) })
    const through = new URL(url)
    through.port = String(proxy.port)
    const direct = openStore({ connectionString: url })
    await direct.schema.migrate()
    const street = await openStreet(url, direct, { partitions: 2 })
    const client = await connect(url)
    const delivered = new Set<string>()
    const seen = new Set<string>()
    const deliver = (rows: readonly OutboxRow[]): void => {
      for (const { id } of rows) delivered.add(id)
    }
    const relay = relayOf({
      store: openStore({ connectionString: through.href }, limits),
      street,
      form,
      maxAttempts: rejects === 'once' ? 2 : 1,
      send: async (rows) =>
        rows.map(({ id, key }) => {
          const isRejected =
            key === 'poor' && (rejects === 'for ever' || (rejects === 'once' && !seen.has(id)))
          seen.add(id)
          if (isRejected) return rejected
          delivered.add(id)
          return confirmed
        }),
      once: {
        send: async (rows) => {
          deliver(rows)
          return rows.map(() => null)
        },
      },
      fenced: fencedBroker(deliver),
      rules,
    })
    const status = (): RelayStatus => relay.status()!
    const hung = proxy.dropReplies({
      request: (chunk) => chunk.includes(`waybill_${statement}_`),
      instead: 'silence',
    })
    const ids = await publish(direct, client, street.channel, ...keys.map((key) => message(key)))
    await relay.start()
    await hung
    await until('that it says so', () =>
      status().vitals.waitingFor.some((call) => call.peer === 'database' && call.what === what),
    )
    // It goes on: what was there and what is new is delivered, and nothing is waited for that long any more.
    const more = await publish(direct, client, street.channel, message('good'), message('better'))
    const isLost = loses || rules.expiresAfterMs !== undefined
    const expected = [...(isLost ? [] : ids), ...(rules.expiresAfterMs === undefined ? more : [])].filter(
      (id) => rejects !== 'for ever' || keys[ids.indexOf(id)] !== 'poor',
    )
    await until('all of it', () => expected.every((id) => delivered.has(id)))
    await until('an empty outbox', async () => {
      const { rows } = await client.query('select 1 from waybill.outbox limit 1')
      return rows.length === 0
    })
    await until('good health', () => {
      const { waitingFor, failed, leaseFailure } = status().vitals
      return failed.length === 0 && leaseFailure === null && waitingFor.every(({ sinceMs }) => sinceMs < 400)
    })
    expect(status().partitions).toHaveLength(2)
    await until('the end of what was taken', async () => {
      const { rows } = await client.query(`
        select (select count(*) from waybill.taken)::int as taken, (select coalesce(sum(count), 0) from waybill.losses)::int as lost`)
      const lost = ids.length + (loses ? 0 : more.length)
      return rows[0].taken === 0 && rows[0].lost === (isLost ? lost : 0)
    })
    await relay.stop()
  },
)

interface TransportCase {
  readonly what: string
  readonly form: ChannelRules['form']
  /** The first call of this kind is never answered; all others are. */
  readonly hangs: 'send' | 'isReady' | 'takeOver' | 'publish'
}

const transportCases: readonly TransportCase[] = [
  { what: 'sending messages of channel', form: 'confirm', hangs: 'send' },
  { what: 'asking for the destination of channel', form: 'take', hangs: 'isReady' },
  { what: 'taking partitions over at the broker', form: 'fence', hangs: 'takeOver' },
  { what: 'sending messages of channel', form: 'fence', hangs: 'publish' },
]

test.for(transportCases)(
  'a relay whose transport never answers "$hangs" says so, and delivers everything (P12)',
  async ({ what, form, hangs }) => {
    const { url } = await postgresDatabase()
    const store = openStore({ connectionString: url }, limits)
    await store.schema.migrate()
    const street = await openStreet(url, store, { partitions: 2 })
    const client = await connect(url)
    const delivered = new Set<string>()
    const deliver = (rows: readonly OutboxRow[]): void => {
      for (const { id } of rows) delivered.add(id)
    }
    let hasHung = false
    const answered = async <T>(kind: TransportCase['hangs'], answer: () => T | Promise<T>): Promise<T> => {
      if (kind !== hangs || hasHung) return await answer()
      hasHung = true
      return await new Promise(() => {})
    }
    const broker = fencedBroker(deliver)
    const relay = relayOf({
      store,
      street,
      form,
      maxAttempts: 5,
      send: (rows) =>
        answered('send', () => {
          deliver(rows)
          return rows.map(() => confirmed)
        }),
      once: {
        isReady: () => answered('isReady', () => true),
        send: async (rows) => {
          deliver(rows)
          return rows.map(() => null)
        },
      },
      fenced: {
        ...broker,
        takeOver: (...args) => answered('takeOver', () => broker.takeOver(...args)),
        publish: (...args) => answered('publish', () => broker.publish(...args)),
      },
    })
    const ids = await publish(store, client, street.channel, message('a'), message('a'))
    await relay.start()
    await until('that it says so', () =>
      relay
        .status()!
        .vitals.waitingFor.some((call) => call.peer === 'transport' && call.what.startsWith(what)),
    )
    await until('all of it', () => ids.every((id) => delivered.has(id)))
    await until('nothing that hangs', () =>
      relay.status()!.vitals.waitingFor.every(({ peer }) => peer === 'database'),
    )
    await relay.stop()
  },
)

test('a relay that stops ends though giving its leases back is never answered, and they are free (P12)', async () => {
  const { url } = await postgresDatabase()
  await using proxy = await startProxy({ port: Number(new URL(url).port) })
  const through = new URL(url)
  through.port = String(proxy.port)
  const direct = openStore({ connectionString: url })
  await direct.schema.migrate()
  const street = await openStreet(url, direct, { partitions: 2 })
  const confirming = (store: Store): Relay =>
    relayOf({
      store,
      street,
      form: 'confirm',
      maxAttempts: 1,
      send: async (rows) => rows.map(() => confirmed),
    })
  const relay = confirming(openStore({ connectionString: through.href }, limits))
  await relay.start()
  await until('its partitions', () => relay.status()!.partitions.length === 2)
  const hung = proxy.dropReplies({
    request: (chunk) => chunk.includes('waybill_release_'),
    instead: 'silence',
  })
  const stopping = relay.stop()
  await hung
  await stopping
  const next = confirming(direct)
  await next.start()
  await until('the partitions of the next one', () => next.status()!.partitions.length === 2)
  await next.stop()
})
