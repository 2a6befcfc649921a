import { systemClock } from '../../kernel/clock.ts'
import type { Lane, LeasedPartition } from '../../ports/lane.ts'
import type { LeaseSession } from '../../ports/leases.ts'
import type { Outbox } from '../../ports/outbox.ts'
import type { Store, StoreContext, StoreDefinition } from '../../ports/store.ts'
import { createBacklog } from './backlog.ts'
import { createBell } from './bell.ts'
import { createCensus } from './census.ts'
import { createCleaner } from './cleaner.ts'
import { createCheckpoints } from './checkpoints.ts'
import { Connections } from './connections.ts'
import { createDeadLetters } from './dead-letters.ts'
import type { PgClient } from './driver.ts'
import { openGauge } from './gauge.ts'
import { createInbox } from './inbox.ts'
import { createKeys } from './keys.ts'
import { advance, createLayouts } from './layouts.ts'
import { openLeases } from './leases.ts'
import { listeningPlace, type MovedOptions, movedOptions } from './moved.ts'
import { checkOptions, type PostgresStoreOptions } from './options.ts'
import { OutboxEffects } from './outbox-effects.ts'
import { OutboxFenced } from './outbox-fenced.ts'
import { OutboxReader } from './outbox-reader.ts'
import { OutboxTakes } from './outbox-takes.ts'
import type { LendOperation } from './operation.ts'
import { createOutboxWriter } from './outbox-writer.ts'
import { quoteSchema } from './quote.ts'
import { createReplays } from './replays.ts'
import { createSchemaAdmin } from './schema.ts'
import type { Suited } from './statement.ts'
import { sweep } from './sweep.ts'
import { createSentMessages } from './sent-messages.ts'
import { createTransactionRunner } from './transaction-runner.ts'

/** How long a migration or the end of a subscription may take: it may have to look at every waiting row. */
const longMs = 3_600_000

/** How long one look for messages to be replayed may take, among all that are kept. */
const searchMs = 600_000

/** How long the longest of an operator's statements may take: it moves all of a parked key. */
const operationMs = 600_000

/** How long each part of a census may take: it is for people who look, and must not become a load. */
const censusMs = 3000

/** How long a sign of life may take: less than a monitor waits for it, so that the reason can be told. */
const pingMs = 1000

/** Outbox and inbox in PostgreSQL. Throws `WB_INVALID_OPTION`; connects to nothing before it is used. */
export function postgresStore(options: PostgresStoreOptions): StoreDefinition<PgClient> {
  checkOptions(options)
  return {
    ...definitionOf(options, options.schema ?? 'waybill'),
    listensAt: () => listeningPlace(options),
    elsewhere: (place) => definitionOf(movedOptions(options, place), place.schema),
  }
}

function definitionOf(options: PostgresStoreOptions | MovedOptions, name: string): StoreDefinition<PgClient> {
  const schema = quoteSchema(name)
  return {
    kind: 'postgres',
    capabilities: { ordersCommits: true, takes: true, hasInbox: true, hasCheckpoints: true },
    open: (context) => openStore(new Connections(options, context), schema, context),
  }
}

function openStore(connections: Connections, schema: string, context: StoreContext): Store {
  const { statementTimeoutMs, lockTimeoutMs } = context
  const keeps = keepsSent(context)
  const suited: Suited = (transaction) => connections.suited(transaction)
  const inbox = connections.open('inbox')
  const cleanup = connections.open('cleanup')
  // Filters that nobody foresaw: whatever plan is best.
  const settings = { enable_seqscan: 'on', enable_bitmapscan: 'on' }
  const lend: LendOperation = (length, work) =>
    connections.lend('operator', { ...(length === 'long' && { timeoutMs: operationMs }), settings }, work)
  return {
    kind: 'postgres',
    schema: createSchemaAdmin(
      (length, work) => connections.lend('schema', length === 'long' ? { timeoutMs: longMs } : {}, work),
      schema,
      keeps,
    ),
    writer: createOutboxWriter(schema, suited),
    inbox: createInbox({ inbox, cleanup }, schema, { keeps, suited }),
    checkpoints: createCheckpoints(inbox, schema, suited),
    census: createCensus(
      {
        census: connections.open('census', { timeoutMs: Math.min(statementTimeoutMs, censusMs) }),
        health: connections.open('health', { timeoutMs: Math.min(statementTimeoutMs, pingMs) }),
      },
      schema,
    ),
    deadLetters: createDeadLetters(lend, schema),
    keys: createKeys(lend, schema, keeps),
    replays: createReplays(inbox, schema),
    transactions: createTransactionRunner(async () => (await connections.pool()).connect(), {
      statementTimeoutMs,
      lockTimeoutMs,
      mayBeFollowed: () => connections.isPoolFree,
    }),
    sent: createSentMessages(
      { cleanup, search: connections.open('replay', { timeoutMs: searchMs }) },
      schema,
    ),
    cleaner: createCleaner(cleanup, schema),
    bell: createBell(connections, schema),
    openOutbox: (lane) => Promise.resolve(openOutbox(connections, schema, lane, keeps)),
    backlog: createBacklog(connections.open('backlog'), schema),
    layouts: createLayouts((work) => connections.lend('layouts', {}, work), schema, systemClock),
    openLeases: (lane) => joinLane(connections, schema, lane, context),
    openGauge: () => openGauge(connections, schema),
    close: () => connections.closeAll(),
  }
}

/** Whether rows that were delivered are moved to `sent`. Where not, every statement is what it is without that table. */
function keepsSent({ retainMs = 0 }: StoreContext): boolean {
  return retainMs > 0
}

function openOutbox(connections: Connections, schema: string, lane: Lane, keeps: boolean): Outbox {
  // Its plan is the same whatever the numbers, and is made to be right for all of them; the others' depend on theirs.
  const reads = connections.open('reads', {
    tapsRows: true,
    settings: { plan_cache_mode: 'force_generic_plan' },
  })
  const deletes = connections.open('deletes', { settings: { plan_cache_mode: 'force_custom_plan' } })
  const lines = connections.open('lines', { settings: { plan_cache_mode: 'force_custom_plan' } })
  const followers = connections.open('followers', { settings: { plan_cache_mode: 'force_custom_plan' } })
  const takes = connections.open('takes', { settings: { plan_cache_mode: 'force_custom_plan' } })
  const reader = new OutboxReader(reads, schema, lane)
  const effects = new OutboxEffects({ deletes, lines, followers }, schema, lane, keeps)
  const taking = new OutboxTakes(takes, effects, schema, lane)
  const fenced = new OutboxFenced(deletes, schema, lane, keeps)
  return {
    read: (request) => reader.read(request),
    readNews: (request) => reader.readNews(request),
    remove: (rows) => effects.remove(rows),
    block: (blocked) => effects.block(blocked),
    bury: (letters) => effects.bury(letters),
    moveFollowers: (rows) => effects.moveFollowers(rows),
    lose: (rows) => effects.lose(rows),
    take: (batch, rows) => taking.take(batch, rows),
    endTaken: (batch, losses) => taking.endTaken(batch, losses),
    fencedStates: (partitions) => fenced.states(partitions),
    removeFenced: (partition, note, rows) => fenced.remove(partition, note, rows),
    close: () => connections.close(reads, deletes, lines, followers, takes),
  }
}

async function joinLane(
  connections: Connections,
  schema: string,
  lane: Lane,
  context: StoreContext,
): Promise<LeaseSession> {
  const { leaseMs, applicationName, statementTimeoutMs, logger } = context
  const connection = connections.open('leases', { reconnects: false })
  // The keeper waits for it between two renewals.
  const layouts = connections.open('layouts', {
    timeoutMs: Math.min(statementTimeoutMs, Math.ceil(leaseMs / 4)),
  })
  const onChanging = (): Promise<void> =>
    advance(layouts, schema, lane, { logger, keeps: keepsSent(context) })
  const onGained = (gained: readonly LeasedPartition[]): Promise<void> =>
    connections.lend('sweep', {}, (sweeping) =>
      sweep(sweeping, gained, { schema, lane, logger, budgetMs: leaseMs / 4, keeps: keepsSent(context) }),
    )
  try {
    const options = { schema, lane, leaseMs, application: applicationName, onGained, onChanging }
    const session = await openLeases(connection, options)
    return {
      ...session,
      close: async () => {
        await session.close()
        await connections.close(connection, layouts)
      },
    }
  } catch (error) {
    await connections.close(connection, layouts)
    throw error
  }
}
