import type { SqlExecutor } from './sql.ts'
import type { AssignedStream } from './transport.ts'

/** How far a stream was handled, kept with the effects themselves. */
export interface CheckpointMove {
  readonly stream: string
  readonly lineage: string
  /** The checkpoint as it was found or last written here; `null` where there was none. */
  readonly from: bigint | null
  /** The next position to be handled. */
  readonly to: bigint
}

/**
 * Positions of consumers in their own database: moved in the transaction that has the effects, so no inbox row is needed.
 * A move that does not find `from` was made by a zombie, or a successor was faster: it has no effect.
 */
export interface Checkpoints {
  /**
   * The next position by stream; streams without a checkpoint are left out. Rejects with `WB_CHECKPOINT_MISMATCH` where one
   * belongs to another lineage: the log was made anew, and an operator must say what that means.
   */
  find(consumer: string, streams: readonly AssignedStream[]): Promise<ReadonlyMap<string, bigint>>
  /** In the handlers' transaction. `false`: one of them did not stand at `from`; the transaction must roll back. */
  advance(transaction: SqlExecutor, consumer: string, moves: readonly CheckpointMove[]): Promise<boolean>
}
