import { WaybillError } from '../../kernel/errors.ts'
import type { Envelope } from '../../kernel/message.ts'
import type { OutboxWriter } from '../../ports/outbox-writer.ts'
import type { Store } from '../../ports/store.ts'
import { memoryCheckpoints, memoryInbox } from './inbox.ts'
import type { Records } from './records.ts'
import type { MemoryTransactions } from './transactions.ts'

export interface MemoryStoreParts {
  readonly transactions: MemoryTransactions
  readonly records: Records
  /** Committed rows of one publish. */
  readonly onCommitted: (envelopes: readonly Envelope[], isDelayed: boolean) => void
}

/** What an instance asks of a store to publish and to handle; no desk of an operator, and no outbox for a relay. */
export function memoryStore(kind: string, { transactions, records, onCommitted }: MemoryStoreParts): Store {
  const writer: OutboxWriter = {
    async append(transaction, channel, messages, delay) {
      const createdAt = new Date()
      const envelopes = messages.map((message) => ({ ...message, channel, createdAt }))
      transactions.onCommit(transaction, () => onCommitted(envelopes, delay !== null))
      return { transactionId: '0' }
    },
  }
  return {
    kind,
    writer,
    transactions,
    inbox: memoryInbox(transactions, records),
    checkpoints: memoryCheckpoints(transactions),
    schema: {
      migrate: async () => [],
      print: () => '',
      identity: async () => 'memory',
      check: async () => ({ found: 1, known: 1, oldestCode: 1 }),
      register: async () => [],
      unsubscribe: absent,
    },
    cleaner: {
      survey: async () => ({ inbox: 0, attempts: 0, relays: 0 }),
      forgetRelays: async () => 0,
    },
    replays: { claim: async () => null, take: absent, fail: absent, release: absent },
    sent: {
      prepare: async () => {},
      tidy: async () => ({ days: 0, messages: 0 }),
      survey: absent,
      count: absent,
      replay: absent,
    },
    bell: { ring: async () => {}, listen: () => null },
    census: { look: absent, ping: async () => {} },
    deadLetters: {
      list: absent,
      find: absent,
      count: absent,
      replay: absent,
      purge: absent,
    },
    keys: { list: absent, count: absent, unblock: absent, skip: absent },
    layouts: { look: absent, change: absent, blocked: absent, remains: absent },
    backlog: { mark: absent, look: absent, lookBeside: absent },
    openOutbox: absent,
    openLeases: absent,
    // Load is not what it is for: nothing is ever refused for it.
    openGauge: () => ({ count: async () => 0, close: async () => {} }),
    close: async () => {},
  }
}

async function absent(): Promise<never> {
  throw new WaybillError(
    'WB_INVALID_CONFIG',
    'The in-memory instance has no desk for operators: failed() tells what was given up, published() what was published.',
  )
}
