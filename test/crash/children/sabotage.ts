import pg from 'pg'
import type { Inbox } from '../../../src/ports/inbox.ts'
import type { StoreDefinition } from '../../../src/ports/store.ts'
import type { Dispatcher, Subscription, TransportDefinition } from '../../../src/ports/transport.ts'
import type { PgClient } from '../../../src/postgres.ts'
import { pgExecutor } from '../../../src/transactions/pg.ts'

/**
 * What is broken on purpose, so that the judge must find it.
 * `marker-apart`: the inbox row is written in a transaction of its own · `dispatch-twice`: what at-most-once sends is sent again, as
 * a client that retries does · `settle-early`: the broker is told that a message is done before its handler begins · `repeats`: the effect of an idempotent handler is there once for each run.
 */
export type Sabotage = 'marker-apart' | 'dispatch-twice' | 'settle-early' | 'repeats'

export function sabotagedStore(
  store: StoreDefinition<PgClient>,
  url: string,
  sabotage: Sabotage | undefined,
): StoreDefinition<PgClient> {
  if (sabotage !== 'marker-apart') return store
  return {
    ...store,
    open: (context) => {
      const opened = store.open(context)
      return { ...opened, inbox: { ...opened.inbox, admit: apart(opened.inbox, url) } }
    },
  }
}

function apart(inbox: Inbox, url: string): Inbox['admit'] {
  return async (_transaction, consumer, ids) => {
    const client = new pg.Client({ connectionString: url })
    await client.connect()
    try {
      await client.query('begin')
      const admitted = await inbox.admit(pgExecutor(client), consumer, ids)
      await client.query('commit')
      return admitted
    } finally {
      await client.end()
    }
  }
}

export function sabotagedTransport(
  transport: TransportDefinition,
  sabotage: Sabotage | undefined,
): TransportDefinition {
  if (sabotage !== 'dispatch-twice' && sabotage !== 'settle-early') return transport
  return {
    ...transport,
    open: (context) => {
      const opened = transport.open(context)
      return sabotage === 'dispatch-twice'
        ? { ...opened, openDispatcher: async () => twice(await opened.openDispatcher!()) }
        : { ...opened, subscribe: async (request) => settledEarly(await opened.subscribe!(request)) }
    },
  }
}

function settledEarly(subscription: Subscription): Subscription {
  return {
    async receive(most, signal) {
      const deliveries = await subscription.receive(most, signal)
      await subscription.settle(deliveries)
      return deliveries
    },
    // It is done already.
    settle: async (positions) => positions.map(() => true),
    close: () => subscription.close(),
  }
}

function twice(dispatcher: Dispatcher): Dispatcher {
  return {
    isReady: (address, timeoutMs) => dispatcher.isReady(address, timeoutMs),
    async dispatch(batch, timeoutMs) {
      await dispatcher.dispatch(batch, timeoutMs)
      return await dispatcher.dispatch(batch, timeoutMs)
    },
    close: () => dispatcher.close(),
  }
}
