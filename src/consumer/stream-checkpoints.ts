import { WaybillError } from '../kernel/errors.ts'
import type { Checkpoints } from '../ports/checkpoints.ts'
import type { SqlExecutor } from '../ports/sql.ts'
import type { AssignedStream, Delivery } from '../ports/transport.ts'

/** Where a stream stands, as far as is known here. */
interface Mark {
  readonly lineage: string
  /** The next position to be handled; `null` where there is no checkpoint yet. */
  next: bigint | null
}

/** The checkpoint was not where it was thought to be: another has moved it, or a commit of ours whose answer was lost. */
export class CheckpointMovedError extends WaybillError {
  readonly stream: string

  constructor(stream: string) {
    super('WB_STORE_CONFLICT', `The checkpoint of stream "${stream}" was moved by another.`, {
      retryable: 'yes',
    })
    this.stream = stream
  }
}

/**
 * The positions of a consumer, kept in its own database with the effects. Each transaction moves the checkpoint from where it
 * stood to behind what it handled, or rolls back: so every delivery has its effect once, whoever else believes to have the
 * stream.
 */
export class StreamCheckpoints {
  readonly #checkpoints: Checkpoints
  readonly #consumer: string
  readonly #marks = new Map<string, Mark>()

  constructor(checkpoints: Checkpoints, consumer: string) {
    this.#checkpoints = checkpoints
    this.#consumer = consumer
  }

  /** For `SubscribeRequest.startAt`: these streams were just assigned. */
  async startAt(streams: readonly AssignedStream[]): Promise<ReadonlyMap<string, bigint>> {
    const found = await this.#checkpoints.find(this.#consumer, streams)
    for (const { stream, lineage } of streams) {
      this.#marks.set(stream, { lineage, next: found.get(stream) ?? null })
    }
    return found
  }

  /** Whether it has been handled already, by what is known here. */
  isPast({ stream, position }: Delivery): boolean {
    const next = this.#marks.get(stream)?.next ?? null
    return next !== null && position < next
  }

  /**
   * In the transaction that handles a run of a stream, before any handler: moves the checkpoint behind its last delivery. It
   * waits for another transaction that is moving it. Throws {@link CheckpointMovedError} where it does not stand where it should.
   */
  async advance(transaction: SqlExecutor, deliveries: readonly Delivery[]): Promise<void> {
    const last = deliveries.at(-1)
    if (last === undefined) return
    const { stream } = last
    const { lineage, next: from } = this.#mark(stream)
    const move = { stream, lineage, from, to: last.position + 1n }
    if (!(await this.#checkpoints.advance(transaction, this.#consumer, [move]))) {
      throw new CheckpointMovedError(stream)
    }
  }

  /** The transaction that moved it has committed. */
  moved(deliveries: readonly Delivery[]): void {
    const last = deliveries.at(-1)
    if (last === undefined) return
    const mark = this.#mark(last.stream)
    const next = last.position + 1n
    if (mark.next === null || mark.next < next) mark.next = next
  }

  /**
   * Looks where the checkpoint really stands, after it was found moved. `true`: further on, and what it is past counts as
   * handled. `false`: it went back or is gone, as after a restore; only a new assignment can go back as well.
   */
  async lookAgain(stream: string): Promise<boolean> {
    const { lineage } = this.#mark(stream)
    const found = await this.#checkpoints.find(this.#consumer, [{ stream, lineage }])
    const next = found.get(stream) ?? null
    // Another assignment may have been asked for meanwhile.
    const mark = this.#mark(stream)
    if (next === null || (mark.next !== null && next < mark.next)) return false
    mark.next = next
    return true
  }

  #mark(stream: string): Mark {
    const mark = this.#marks.get(stream)
    if (mark !== undefined) return mark
    // Never handle what no checkpoint is known for: it might have been handled already.
    throw new WaybillError(
      'WB_GUARANTEE_UNSUPPORTED',
      `Stream "${stream}" was assigned without asking where to start, so its checkpoint is not known.`,
    )
  }
}
