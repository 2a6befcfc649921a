import { beforeAll, describe, expect, it } from 'vitest'
import type { Outbox } from '../../../src/ports/outbox.ts'
import type { Store, StoreDefinition } from '../../../src/ports/store.ts'
import { postgresStore } from '../../../src/postgres.ts'
import { storeConformance } from '../../../src/testing/conformance/store.ts'
import { postgresDatabase } from '../../setup/servers.ts'
import { isWaiting } from './support.ts'

describe('the conformance of a store', () => {
  let connectionString: string

  beforeAll(async () => {
    connectionString = (await postgresDatabase()).url
  })

  /** A store with something of it changed. */
  const changed = (change: (store: Store) => Partial<Store>): StoreDefinition => ({
    ...postgresStore({ connectionString: 'postgres://later' }),
    open(context) {
      const store = postgresStore({ connectionString }).open(context)
      return altered(store, change(store))
    },
  })
  const withOutbox = (change: (outbox: Outbox) => Partial<Outbox>): StoreDefinition =>
    changed((store) => ({
      async openOutbox(lane) {
        const outbox = await store.openOutbox(lane)
        return altered(outbox, change(outbox))
      },
    }))
  const ahead = <T extends { readonly epoch: bigint }>(rows: readonly T[]): readonly T[] =>
    rows.map((row) => ({ ...row, epoch: row.epoch + 1n }))

  it.each<[string, StoreDefinition, string]>([
    [
      'publishes outside the transaction it is given',
      changed((store) => ({
        writer: {
          append: (_transaction, ...message) =>
            store.transactions.run({ idleTimeoutMs: 5000 }, ({ executor }) =>
              store.writer.append(executor, ...message),
            ),
        },
      })),
      'what rolls back was never there',
    ],
    [
      'takes no lock on a key',
      changed(({ schema }) => ({
        schema: altered(schema, {
          register: (channels, ...more) =>
            schema.register(
              channels.map((channel) => ({ ...channel, ordered: false })),
              ...more,
            ),
        }),
      })),
      'of two transactions on one key',
    ],
    [
      'goes by its floor alone',
      withOutbox((outbox) => ({ read: (request) => outbox.read({ ...request, lateLimit: 0 }) })),
      'what commits late',
    ],
    [
      'tells news without those of transactions that were open',
      withOutbox((outbox) => ({
        readNews: (request) => outbox.readNews({ ...request, last: { ...request.last, open: [] } }),
      })),
      'news are all',
    ],
    [
      'writes lines for a zombie',
      withOutbox((outbox) => ({ block: (lines) => outbox.block(ahead(lines)) })),
      'a line holds its key',
    ],
    [
      'takes rows for a zombie',
      withOutbox((outbox) => ({ take: (batch, rows) => outbox.take(batch, ahead(rows)) })),
      'a row is taken once',
    ],
    [
      'admits whatever comes',
      changed((store) => ({
        inbox: {
          ...store.inbox,
          admit: async (transaction, consumer, ids) => {
            await store.inbox.admit(transaction, consumer, ids)
            return new Set(ids)
          },
        },
      })),
      'an inbox admits an id once',
    ],
    [
      'notes what was handled in a transaction of its own',
      changed((store) => ({
        inbox: {
          ...store.inbox,
          admit: (_transaction, ...given) =>
            store.transactions.run({ idleTimeoutMs: 5000 }, ({ executor }) =>
              store.inbox.admit(executor, ...given),
            ),
        },
      })),
      'an inbox forgets what rolls back',
    ],
    [
      'knows a message whichever consumer has handled it',
      changed((store) => ({
        inbox: {
          ...store.inbox,
          admit: (transaction, _consumer, ids) => store.inbox.admit(transaction, 'everybody', ids),
        },
      })),
      'an inbox admits an id for one consumer',
    ],
    [
      'renews whatever a relay takes for its own',
      changed((store) => ({
        async openLeases(lane) {
          const leases = await store.openLeases(lane)
          return altered(leases, {
            async renew(held, ...more) {
              await leases.renew(held, ...more)
              return held
            },
          })
        },
      })),
      'partitions are leased to one relay',
    ],
    [
      'moves a checkpoint from wherever it stands',
      changed((store) => ({
        checkpoints: {
          ...store.checkpoints,
          advance: async (...given) => {
            await store.checkpoints.advance(...given)
            return true
          },
        },
      })),
      'a checkpoint moves',
    ],
    [
      'commits what was aborted',
      changed((store) => ({
        transactions: { run: ({ idleTimeoutMs }, work) => store.transactions.run({ idleTimeoutMs }, work) },
      })),
      'a transaction rejects',
    ],
  ])('finds one that %s', async (_what, store, begin) => {
    const options = { store, timeoutMs: 5000, isWaiting: () => isWaiting(connectionString) }
    const cases = storeConformance(options).filter(({ name }) => name.startsWith(begin))
    expect(cases).toHaveLength(1)
    await expect(cases[0]!.run()).rejects.toMatchObject({ code: 'ERR_ASSERTION' })
  })
})

/** The same object, but for the methods of `change`. */
function altered<T extends object>(target: T, change: Partial<T>): T {
  return new Proxy(target, {
    get(_target, name) {
      const found: unknown = Reflect.get(change, name) ?? Reflect.get(target, name)
      return typeof found === 'function' ? (found.bind(target) as unknown) : found
    },
  })
}
