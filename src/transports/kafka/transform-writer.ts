import { systemClock } from '../../kernel/clock.ts'
import { withDeadline } from '../../kernel/deadline.ts'
import type { CommitResult, Fate, OutboundMessage } from '../../ports/transport.ts'
import { movedNames } from './commit-request.ts'
import { abortedTogether, notRunning, notTaken } from './fates.ts'
import { FencedSession, type LastStep } from './fenced-session.ts'
import { hasKafkaError, kafkaErrorName } from './kafka-error.ts'
import type { Placement } from './placement.ts'
import { encodeWithin, type OutgoingRecord } from './record.ts'
import type { TransactionalProducer } from './transactional-producer.ts'
import { writeTogether, type BatchLimits } from './write-together.ts'

export interface TransformWriterOptions {
  /** Unlike any other's: what fences is the group's generation, in which the positions are committed (KIP-447). */
  readonly transactionalId: string
  readonly makeProducer: (transactionalId: string, transactionTimeoutMs: number) => TransactionalProducer
  /** No transaction may stay open longer. */
  readonly maxTransactionMs: number
  readonly placement: Placement
  readonly maxBytes: number
  /** CloudEvents source of what is written. */
  readonly source: string
}

/** The positions of a transaction. */
export interface TransactionPositions {
  /** The assignment they came in has ended, or is in doubt: asked when the transaction's turn has come. */
  readonly isOver: () => boolean
  /** Adds them to a transaction; what it throws says whether the group has moved on. */
  readonly add: (transactionalId: string, ...step: [FencedSession, ...Parameters<LastStep>]) => Promise<void>
}

/**
 * The transactions of a subscription: outputs and positions, all or nothing. One producer, one transaction at a time; it is made
 * at the first of them.
 */
export class TransformWriter {
  readonly #options: TransformWriterOptions
  readonly #limits: BatchLimits = new Map()
  #session: FencedSession | undefined
  #fenced: Promise<void> = Promise.resolve()
  #last: Promise<unknown> = Promise.resolve()
  #isClosed = false

  constructor(options: TransformWriterOptions) {
    this.#options = options
  }

  /** Never rejects. After `unknown` the positions have to be read anew, and those of before are over. */
  commit(
    positions: TransactionPositions,
    outputs: readonly OutboundMessage[],
    timeoutMs: number,
  ): Promise<CommitResult> {
    const mine = this.#last.then(() => this.#commit(positions, outputs, timeoutMs))
    this.#last = mine
    return mine
  }

  async close(): Promise<void> {
    this.#isClosed = true
    await this.#session?.close()
  }

  async #commit(
    positions: TransactionPositions,
    outputs: readonly OutboundMessage[],
    timeoutMs: number,
  ): Promise<CommitResult> {
    if (positions.isOver()) return { outcome: 'refused' }
    if (this.#isClosed) return { outcome: 'rejected', fates: outputs.map(() => notRunning) }
    const end = systemClock.now() + timeoutMs
    const records = this.#encode(outputs)
    if ('outcome' in records) return records
    const session = (this.#session ??= this.#open(timeoutMs))
    try {
      await withDeadline(this.#fenced, timeoutMs, 'Opening a producer')
    } catch (error) {
      // Not where it is only late: the library goes on, and what it does next is done sooner.
      if (kafkaErrorName(error) !== 'WB_TIMED_OUT') this.#drop(session)
      const code = kafkaErrorName(error) === 'WB_TIMED_OUT' ? 'ETIMEDOUT' : kafkaErrorName(error)
      return { outcome: 'rejected', fates: outputs.map(() => notTaken(code)) }
    }
    const placed = await this.#options.placement.place(session.client, records, null, end - systemClock.now())
    if ('outcome' in placed) return placed
    const { maxBytes, transactionalId } = this.#options
    const { outcome, error } = await writeTogether(session, placed.records, outputs.length, {
      limits: this.#limits,
      maxBytes,
      end,
      lastStep: (transaction, log) => positions.add(transactionalId, session, transaction, log),
    })
    switch (outcome.outcome) {
      case 'committed':
        return outcome
      case 'unknown':
        // At once: whoever reads the positions waits until it is decided, and this decides it.
        this.#drop(session)
        this.#session = this.#open(timeoutMs)
        return outcome
      case 'fenced':
        // Nobody else has this id: the broker has aborted a transaction that was open for too long.
        this.#drop(session)
        return { outcome: 'rejected', fates: outputs.map(() => notTaken(kafkaErrorName(error))) }
      case 'rejected':
        // Readers of these topics wait at a transaction that is open. What it cannot do now, the next one waits for.
        session.recover().catch(() => {})
        return hasKafkaError(error, ...movedNames) ? { outcome: 'refused' } : outcome
    }
  }

  /**
   * What a process that was killed had under way holds its partitions until the broker aborts it, and nothing can end it sooner:
   * its successor has another transactional id. So the broker is told to wait little longer than a commit may take.
   */
  #open(timeoutMs: number): FencedSession {
    const { makeProducer, transactionalId, maxTransactionMs } = this.#options
    const transactionTimeoutMs = Math.min(maxTransactionMs, Math.max(2 * timeoutMs, 1000))
    const session = new FencedSession(makeProducer(transactionalId, transactionTimeoutMs))
    if (this.#isClosed) void session.close()
    else {
      this.#fenced = session.fence()
      this.#fenced.catch(() => {})
    }
    return session
  }

  #drop(session: FencedSession): void {
    if (this.#session === session) this.#session = undefined
    void session.close()
  }

  #encode(outputs: readonly OutboundMessage[]): OutgoingRecord[] | Extract<CommitResult, { fates: unknown }> {
    const { source, maxBytes } = this.#options
    const refused = new Map<number, Fate>()
    const records: OutgoingRecord[] = []
    for (const [index, output] of outputs.entries()) {
      const record = encodeWithin(output, source, maxBytes)
      if ('outcome' in record) refused.set(index, record)
      else records.push(record)
    }
    if (refused.size === 0) return records
    return { outcome: 'rejected', fates: outputs.map((_, index) => refused.get(index) ?? abortedTogether) }
  }
}
