import pg from 'pg'
import { afterAll, onTestFinished } from 'vitest'
import { newMessageId } from '../../../src/kernel/ids.ts'
import { silentLogger } from '../../../src/kernel/logger.ts'
import type { Lane } from '../../../src/ports/lane.ts'
import type { LeaseSession } from '../../../src/ports/leases.ts'
import type { NewMessage } from '../../../src/ports/outbox-writer.ts'
import type { Outbox } from '../../../src/ports/outbox.ts'
import type { Store, StoreContext } from '../../../src/ports/store.ts'
import { postgresStore, type PostgresStoreOptions } from '../../../src/postgres.ts'
import { pgExecutor } from '../../../src/transactions/pg.ts'
import { LaneReader } from '../../../src/testing/conformance/lane-reader.ts'
import { until } from '../../../src/testing/until.ts'

export const context: StoreContext = {
  logger: silentLogger,
  applicationName: 'test',
  statementTimeoutMs: 20_000,
  lockTimeoutMs: 10_000,
  leaseMs: 10_000,
}

/** A store that is closed when the test ends, or with the file where it is opened outside a test. */
export function openStore(options: PostgresStoreOptions, changes: Partial<StoreContext> = {}): Store {
  const store = postgresStore(options).open({ ...context, ...changes })
  onEnd(() => store.close())
  return store
}

export async function connect(url: string): Promise<pg.Client> {
  const client = new pg.Client(url)
  client.on('error', () => {})
  await client.connect()
  onEnd(() => client.end())
  return client
}

function onEnd(clean: () => Promise<void>): void {
  try {
    onTestFinished(clean)
  } catch {
    afterAll(clean)
  }
}

let names = 0

/** A transport with a channel of its own, so that the tests of a file do not meet in one database. */
export interface Street {
  readonly transport: string
  readonly channel: string
  readonly lane: Lane
  readonly first: number
  readonly partitions: readonly number[]
}

export interface StreetOptions {
  readonly ordered?: boolean
  readonly partitions?: number
  readonly consumers?: readonly string[]
}

export async function openStreet(url: string, store: Store, options: StreetOptions = {}): Promise<Street> {
  const { ordered = true, partitions = 4, consumers = [] } = options
  const transport = `transport-${++names}`
  const channel = `channel-${names}`
  await store.schema.register(
    [{ channel, transport, address: channel, ordered, maxBytes: 1000 }],
    consumers.map((consumer) => ({ consumer, channels: [channel] })),
    partitions,
  )
  const client = await connect(url)
  const { rows } = await client.query(
    'select first_partition as first from waybill.transports where transport = $1',
    [transport],
  )
  const first = Number(rows[0].first)
  const lane = { transport, consumer: consumers[0] ?? '' }
  return {
    transport,
    channel,
    lane,
    first,
    partitions: Array.from({ length: partitions }, (_, i) => first + i),
  }
}

export function message(key: string | null, text = 'payload'): NewMessage {
  return { id: newMessageId(), key, payload: Buffer.from(text), contentType: 'text/plain', headers: {} }
}

/** Appends in the transaction `client` is in. */
export async function append(
  store: Store,
  client: pg.Client,
  channel: string,
  ...messages: NewMessage[]
): Promise<string> {
  return (await store.writer.append(pgExecutor(client), channel, messages, null)).transactionId
}

/** Appends in a transaction of its own; the ids in order. */
export async function publish(
  store: Store,
  client: pg.Client,
  channel: string,
  ...messages: NewMessage[]
): Promise<string[]> {
  await client.query('begin')
  await append(store, client, channel, ...messages)
  await client.query('commit')
  return messages.map(({ id }) => id)
}

/** Resolves when the server says that this connection waits for a lock. */
export async function untilBlocked(observer: pg.Client, waiting: pg.Client): Promise<void> {
  const { processID } = waiting as unknown as { processID: number }
  await until('the connection waits for a lock', async () => {
    const { rows } = await observer.query(
      `select 1 from pg_stat_activity where pid = $1 and wait_event_type = 'Lock'`,
      [processID],
    )
    return rows.length > 0
  })
}

/** The same of one of the store's own connections in this database, which is known by its purpose. */
export async function untilPurposeWaits(observer: pg.Client, purpose: string): Promise<void> {
  await until(`the connection for ${purpose} waits for a lock`, async () => {
    const { rows } = await observer.query(
      `select 1 from pg_stat_activity
       where application_name = $1 and datname = current_database() and wait_event_type = 'Lock'`,
      [`${context.applicationName} ${purpose}`],
    )
    return rows.length > 0
  })
}

/** Whether any connection to this database waits for a lock. */
export async function isWaiting(url: string): Promise<boolean> {
  const client = new pg.Client(url)
  await client.connect()
  try {
    const { rows } = await client.query(
      `select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`,
    )
    return rows.length > 0
  } finally {
    await client.end()
  }
}

/** A reader of a street's partitions. */
export class TestReader extends LaneReader {
  constructor(
    outbox: Outbox,
    { partitions, channel }: Pick<Street, 'channel' | 'partitions'>,
    channels: readonly string[] = [channel],
  ) {
    super(outbox, partitions, channels)
  }
}

export interface Desk {
  readonly outbox: Outbox
  readonly leases: LeaseSession
  readonly reader: TestReader
  /** The epoch of a partition that is held. */
  epoch(partition: number): bigint
}

/** A relay's hands on a lane, all partitions leased. */
export async function openDesk(
  store: Store,
  street: Street,
  consumer: string = street.lane.consumer,
): Promise<Desk> {
  const lane = { transport: street.transport, consumer }
  const outbox = await store.openOutbox(lane)
  onEnd(() => outbox.close())
  const leases = await store.openLeases(lane)
  onEnd(() => leases.close())
  const held = new Map((await leases.claim(1000)).map(({ partition, epoch }) => [partition, epoch]))
  return {
    outbox,
    leases,
    reader: new TestReader(outbox, street),
    epoch: (partition) => held.get(partition)!,
  }
}

export function idsOf(rows: readonly { readonly id: string }[]): string[] {
  return rows.map(({ id }) => id)
}
