import type { MindCore } from './core.ts'
import type { Fence, FencedBatch } from './fence.ts'
import type { Gathering } from './gathering.ts'
import { keysOf, type PartitionState } from './state.ts'

/** What becomes of rows that are sent in fenced transactions. */
export class FencedRows {
  readonly #core: MindCore
  readonly #gathering: Gathering

  constructor(core: MindCore, gathering: Gathering) {
    this.#core = core
    this.#gathering = gathering
  }

  countCommitted({ channel, entries }: FencedBatch): void {
    channel.confirmations += entries.length
    channel.failures = 0
    this.#core.counters.confirmed += entries.length
  }

  /** Rows of a transaction that are not ours to decide on any more. */
  abandon(fence: Fence): void {
    const { batch } = fence
    if (batch === null) return
    fence.batch = null
    for (const entry of batch.entries) {
      entry.partition.busy -= 1
      this.#core.drop(entry)
    }
    this.#gathering.endOfKeys(batch.entries)
  }

  forgetWaiting(partition: PartitionState): void {
    for (const key of keysOf(partition)) {
      if (key.channel.rules.form !== 'fence') continue
      for (const entry of key.queue) this.#core.drop(entry)
      key.queue = []
      // What was passed over is read again with all the rest.
      if (key.closed?.waitsFor === 'queue') {
        key.closed = null
        this.#core.reopening.delete(key)
      }
      this.#core.refresh(key)
    }
    for (const pool of partition.pools.values()) this.#core.dropLooseOf(pool)
  }
}
