import type {
  Fate,
  FencedMessage,
  FencedNote,
  FencedOutcome,
  FencedPublisher,
  TakenOver,
} from '../../ports/transport.ts'
import { abortedTogether, notRunning } from './fates.ts'
import { FencedWriter, type FencedWriterOptions } from './fenced-writer.ts'
import { encodeWithin, type OutgoingRecord } from './record.ts'
import { WaybillError } from '../../kernel/errors.ts'

export interface FencedPublisherOptions extends Omit<FencedWriterOptions, 'partition' | 'transactionalId'> {
  readonly transactionalIdPrefix: string
  /** CloudEvents source of what is sent. */
  readonly source: string
}

/**
 * A producer for each outbox partition that was taken over, with a connection to each broker it speaks to: on one broker 16
 * partitions hold 16 connections, on three at most 48 (and as many to the bootstrap addresses where those are not the brokers'
 * own). One connection for all would be less and slower: a broker serves a connection's requests one after another, and each
 * of these waits for all replicas.
 */
export class KafkaFencedPublisher implements FencedPublisher {
  readonly #options: FencedPublisherOptions
  readonly #writers = new Map<number, FencedWriter>()
  #isClosed = false

  constructor(options: FencedPublisherOptions) {
    this.#options = options
  }

  async takeOver(partition: number, timeoutMs: number): Promise<TakenOver> {
    if (this.#isClosed) throw new WaybillError('WB_NOT_RUNNING', 'The publisher is closed.')
    let writer = this.#writers.get(partition)
    if (writer === undefined) {
      const transactionalId = `${this.#options.transactionalIdPrefix}-outbox-${partition}`
      writer = new FencedWriter({ ...this.#options, partition, transactionalId })
      this.#writers.set(partition, writer)
    }
    const taken = await writer.takeOver(timeoutMs)
    // Closed or released meanwhile.
    if (this.#writers.get(partition) !== writer) await writer.release()
    return taken
  }

  async publish(
    partition: number,
    note: Omit<FencedNote, 'rows'>,
    messages: readonly FencedMessage[],
    timeoutMs: number,
  ): Promise<FencedOutcome> {
    const writer = this.#writers.get(partition)
    if (writer === undefined) return { outcome: 'rejected', fates: messages.map(() => notRunning) }
    // An empty transaction cannot be ended.
    if (messages.length === 0) return { outcome: 'rejected', fates: [] }
    const { source, maxBytes } = this.#options
    const records: OutgoingRecord[] = []
    const refused = new Map<number, Fate>()
    for (const [index, message] of messages.entries()) {
      const record = encodeWithin(message, source, maxBytes)
      if ('outcome' in record) refused.set(index, record)
      else records.push(record)
    }
    if (refused.size > 0) {
      return { outcome: 'rejected', fates: messages.map((_, index) => refused.get(index) ?? abortedTogether) }
    }
    const rows = messages.map(({ seq, envelope }) => ({ seq, id: envelope.id }))
    return writer.publish({ ...note, rows }, records, timeoutMs)
  }

  async release(partition: number): Promise<void> {
    const writer = this.#writers.get(partition)
    this.#writers.delete(partition)
    await writer?.release()
  }

  async close(): Promise<void> {
    this.#isClosed = true
    await Promise.all([...this.#writers.keys()].map((partition) => this.release(partition)))
  }
}
