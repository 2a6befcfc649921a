import { systemClock } from '../../kernel/clock.ts'
import { withDeadline } from '../../kernel/deadline.ts'
import { isWaybillError, WaybillError } from '../../kernel/errors.ts'
import type { FencedNote, FencedOutcome, TakenOver } from '../../ports/transport.ts'
import { notSent } from './fates.ts'
import { FencedSession } from './fenced-session.ts'
import { kafkaErrorName } from './kafka-error.ts'
import { decodeNote, encodeNote } from './note.ts'
import type { Placement } from './placement.ts'
import type { PositionsTopic } from './positions-topic.ts'
import { recordOf, type OutgoingRecord } from './record.ts'
import type { PlacedRecord } from './sends.ts'
import type { TransactionalProducer } from './transactional-producer.ts'
import { writeTogether, type BatchLimits } from './write-together.ts'

export interface FencedWriterOptions {
  /** The outbox partition, and that of its notes. */
  readonly partition: number
  readonly transactionalId: string
  readonly makeProducer: (transactionalId: string) => TransactionalProducer
  readonly positions: PositionsTopic
  readonly placement: Placement
  readonly maxBytes: number
}

/** An outbox partition's transactions, and the notes that they leave. */
export class FencedWriter {
  readonly #options: FencedWriterOptions
  #session: FencedSession | undefined
  #takingOver: AbortController | undefined
  readonly #limits: BatchLimits = new Map()

  constructor(options: FencedWriterOptions) {
    this.#options = options
  }

  async takeOver(timeoutMs: number): Promise<TakenOver> {
    const { partition, transactionalId, makeProducer, positions } = this.#options
    this.#takingOver?.abort()
    // Before anything is waited for: a release may come meanwhile.
    const end = (this.#takingOver = new AbortController())
    const session = new FencedSession(makeProducer(transactionalId))
    const take = async (): Promise<TakenOver> => {
      await this.#endSession()
      await positions.ready(partition, end.signal)
      end.signal.throwIfAborted()
      await session.fence()
      // Only now: what the fence has decided stands in the log, and nothing can be added to it.
      const { value, lineage } = await positions.last(partition, transactionalId, end.signal)
      return { last: value === undefined ? null : decodeNote(value), lineage }
    }
    try {
      const taken = await withDeadline(take(), timeoutMs, `Taking over partition ${partition}`, end.signal)
      this.#session = session
      return taken
    } catch (error) {
      end.abort()
      void session.close()
      if (isWaybillError(error) && error.code !== 'WB_TIMED_OUT') throw error
      throw new WaybillError(
        'WB_BROKER_UNREACHABLE',
        `Outbox partition ${partition} could not be taken over at the Kafka brokers in ${timeoutMs} ms ` +
          `(${kafkaErrorName(error)}). It can be tried again.`,
        { cause: error, retryable: 'yes' },
      )
    }
  }

  /** Of a transaction in which `records` go, one for each of the rows that the note names. */
  async publish(
    note: FencedNote,
    records: readonly OutgoingRecord[],
    timeoutMs: number,
  ): Promise<FencedOutcome> {
    const session = this.#session
    const { placement, partition, maxBytes } = this.#options
    if (session === undefined) return notTakenOver(records.length)
    const end = systemClock.now() + timeoutMs
    const placed = await placement.place(session.client, records, partition, timeoutMs)
    if ('outcome' in placed) return this.#conclude(session, placed)
    const all = [...placed.records, this.#noteRecord(note)]
    const { outcome } = await writeTogether(session, all, records.length, {
      limits: this.#limits,
      maxBytes,
      end,
    })
    return outcome.outcome === 'committed' ? outcome : this.#conclude(session, outcome)
  }

  /** Also in the middle of a take-over, which is given up. */
  async release(): Promise<void> {
    this.#takingOver?.abort()
    await this.#endSession()
  }

  async #endSession(): Promise<void> {
    const session = this.#session
    this.#session = undefined
    await session?.close()
  }

  #conclude(session: FencedSession, outcome: FencedOutcome): FencedOutcome {
    if (outcome.outcome === 'rejected') {
      // At once: readers of these topics wait at a transaction that is open. What it cannot do now, the next one waits for.
      session.recover().catch(() => {})
    } else if (this.#session === session) {
      this.#session = undefined
      void session.close()
    }
    return outcome
  }

  #noteRecord(note: FencedNote): PlacedRecord {
    const { partition, transactionalId, positions } = this.#options
    const record = recordOf(positions.name, transactionalId, encodeNote(note), [])
    return { record, partition, index: null }
  }
}

function notTakenOver(count: number): FencedOutcome {
  const fate = notSent('WB_NOT_RUNNING', 'It was not sent: its outbox partition is not taken over.')
  return { outcome: 'rejected', fates: Array.from({ length: count }, () => fate) }
}
