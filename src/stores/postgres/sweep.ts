import { withDeadline } from '../../kernel/deadline.ts'
import { describeError } from '../../kernel/errors.ts'
import type { Logger } from '../../kernel/logger.ts'
import type { Lane } from '../../ports/lane.ts'
import type { Connection } from './connection.ts'
import { sweepText } from './outbox-remove-statements.ts'

const batch = 5000

export interface SweepOptions {
  readonly schema: string
  readonly lane: Lane
  readonly logger: Logger
  /** How long the caller can wait; what is left then is left to the next claim. */
  readonly budgetMs: number
}

/**
 * Deletes what a dead relay of a consumer's lane left behind in these partitions: rows that every subscriber has. They are in
 * nobody's way, because reads leave them out, so a failure is only told. On a connection of its own: the leases' must stay
 * free for renewals (R4). Ends with its connection where the budget did not suffice.
 */
export async function sweep(
  connection: Connection,
  partitions: readonly number[],
  options: SweepOptions,
): Promise<void> {
  const { schema, lane, logger, budgetMs } = options
  const query = { text: sweepText(schema), values: [partitions, lane.consumer, batch] }
  const all = async (): Promise<void> => {
    for (let deleted = batch; deleted === batch;) {
      const [row] = await connection.query<{ deleted: number }>(query, 'delete handled rows')
      deleted = row!.deleted
    }
  }
  try {
    await withDeadline(all(), budgetMs, 'deleting handled rows')
  } catch (error) {
    logger.warn(
      { lane, error: describeError(error) },
      'could not delete all handled rows; the next claim does',
    )
  }
}
