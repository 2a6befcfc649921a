import type {
  Mark,
  NewsRequest,
  Outbox,
  OutboxRow,
  PartitionRequest,
  ReadRequest,
  ReadResult,
  Snapshot,
} from '../../ports/outbox.ts'

/** Reads an outbox as a relay's mind does: by floors, marks, and the snapshot of the last read. */
export class LaneReader {
  readonly floors: Map<number, bigint>
  marks: ReadonlyMap<number, Mark> = new Map()
  last: Snapshot | null = null
  readonly #outbox: Outbox
  readonly #channels: readonly string[]

  constructor(outbox: Outbox, partitions: readonly number[], channels: readonly string[]) {
    this.#outbox = outbox
    this.#channels = channels
    this.floors = new Map(partitions.map((partition) => [partition, 0n]))
  }

  get #partitions(): readonly PartitionRequest[] {
    return [...this.floors].map(([partition, floor]) => ({
      partition,
      floor,
      mark: this.marks.get(partition) ?? null,
    }))
  }

  async look(changes: Partial<ReadRequest> = {}): Promise<ReadResult> {
    return await this.#outbox.read({
      partitions: this.#partitions,
      last: this.last,
      upperLimit: 100,
      lookLimit: 100,
      lateLimit: 100,
      retryLimit: 100,
      partitionBytes: 1_000_000,
      channels: this.#channels,
      ...changes,
    })
  }

  /** A look for what is new since the last read that was applied. */
  async news(changes: Partial<NewsRequest> = {}): Promise<ReadResult | null> {
    return await this.#outbox.readNews({
      partitions: this.#partitions,
      last: this.last!,
      limit: 100,
      bytes: 1_000_000,
      channels: this.#channels,
      ...changes,
    })
  }

  /** A read that is applied: floors rise over what it brought. */
  async read(changes: Partial<ReadRequest> = {}): Promise<readonly OutboxRow[]> {
    const result = await this.look(changes)
    this.last = result.snapshot
    this.marks = result.marks
    for (const { partition, seq } of result.rows) {
      if (seq > this.floors.get(partition)!) this.floors.set(partition, seq)
    }
    return result.rows
  }
}
