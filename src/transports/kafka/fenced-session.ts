import type { Producer } from '@platformatic/kafka'
import { withDeadline } from '../../kernel/deadline.ts'
import { WaybillError } from '../../kernel/errors.ts'
import { hasKafkaError } from './kafka-error.ts'
import { batchesOf, messagesOf, type PlacedRecord } from './sends.ts'
import { TransactionLog } from './transaction-log.ts'
import type { TransactionalProducer } from './transactional-producer.ts'

const closeMs = 2000

export interface FailedTransaction {
  readonly log: TransactionLog
  /** The send that failed, or was under way; empty where none was. */
  readonly sending: readonly PlacedRecord[]
  readonly error: unknown
}

interface Failure {
  readonly log: TransactionLog
  /** Settles when nothing of it is under way any more. */
  readonly over: Promise<unknown>
}

type Transaction = Awaited<ReturnType<Producer['beginTransaction']>>

/** What else belongs to a transaction, before its commit. What it asks of the broker is written down in the log. */
export type LastStep = (transaction: Transaction, log: TransactionLog) => Promise<void>

/**
 * One producer under one transactional.id, from its fence to its end; one transaction at a time. After a failure the
 * transaction is aborted and the producer's epoch raised: nothing of it that is still on its way can get into the next one,
 * and sequence numbers, in which a refused batch leaves a gap, begin anew. It is raised from the epoch that is held, and so
 * never takes the id back from a successor.
 */
export class FencedSession {
  readonly #producer: TransactionalProducer
  #failure: Failure | undefined
  #recovery: Promise<void> | undefined

  constructor(producer: TransactionalProducer) {
    this.#producer = producer
  }

  get client(): Producer {
    return this.#producer.client
  }

  /** What an earlier producer of the id had under way is committed or aborted for good when this resolves. */
  async fence(): Promise<void> {
    const transaction = await this.client.beginTransaction()
    await transaction.cancel()
  }

  /**
   * Writes these records, send after send, does the last step and commits; `undefined` when that is done. Past its time no
   * request leaves any more.
   */
  async transact(
    sends: readonly (readonly PlacedRecord[])[],
    timeoutMs: number,
    lastStep?: LastStep,
  ): Promise<FailedTransaction | undefined> {
    const log = new TransactionLog()
    let isOver = false
    let sending: readonly PlacedRecord[] = []
    const run = async (): Promise<void> => {
      await this.recover()
      if (isOver) throw new WaybillError('WB_TIMED_OUT', 'It was not begun in time.')
      this.#failure = { log, over: running }
      this.#producer.watch(log)
      const transaction = await this.client.beginTransaction()
      for (sending of sends) await transaction.send({ messages: messagesOf(batchesOf(sending)) })
      await lastStep?.(transaction, log)
      await transaction.commit()
      this.#failure = undefined
    }
    const running = Promise.resolve().then(run)
    try {
      await withDeadline(running, Math.max(0, timeoutMs), 'A transaction')
      return undefined
    } catch (error) {
      log.seal()
      isOver = true
      return { log, sending, error }
    }
  }

  /** Makes the last transaction, if it failed, as if it had not been. Goes on until it is done; rejects where it cannot be. */
  recover(): Promise<void> {
    if (this.#failure === undefined) return Promise.resolve()
    this.#recovery ??= this.#undo(this.#failure).finally(() => {
      this.#recovery = undefined
    })
    return this.#recovery
  }

  /** A transaction that is open is aborted by the next fence, or by the broker in time. */
  async close(): Promise<void> {
    // What its connections still hold cannot be called back; a stopped broker may keep them from closing.
    await withDeadline(this.client.close(true), closeMs, 'Closing a producer').catch(() => {})
  }

  async #undo({ log, over }: Failure): Promise<void> {
    await over.catch(() => {})
    const { client } = this
    if (log.isBegun) {
      this.#producer.watch(new TransactionLog())
      await client.transaction?.abort().catch((error: unknown) => {
        // It had not reached the coordinator; should it come yet, its epoch is an old one.
        if (!hasKafkaError(error, 'INVALID_TXN_STATE')) throw error
      })
      const { producerId, producerEpoch } = client
      await client.transaction?.cancel()
      await client.beginTransaction()
      await client.initIdempotentProducer({ producerId: producerId!, producerEpoch: producerEpoch! })
    }
    await client.transaction?.cancel()
    this.#failure = undefined
  }
}
