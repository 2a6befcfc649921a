import { withDeadline } from '../../kernel/deadline.ts'
import { describeError } from '../../kernel/errors.ts'
import type { Logger } from '../../kernel/logger.ts'
import type { Lane, LeasedPartition } from '../../ports/lane.ts'
import type { Connection } from './connection.ts'
import { sweepText } from './outbox-remove-statements.ts'
import { countEndedText } from './outbox-take-statements.ts'

const batch = 5000

export interface SweepOptions {
  readonly schema: string
  readonly lane: Lane
  readonly logger: Logger
  /** How long the caller can wait; what is left then is left to the next claim. */
  readonly budgetMs: number
  /** Whether what is deleted is kept in `sent`. */
  readonly keeps: boolean
}

/**
 * Clears up what the last owners of these partitions left behind: what they had taken and not ended is counted as lost, and on a
 * consumer's lane rows that every subscriber has are deleted. Neither is in anybody's way, because reads leave it out, so a
 * failure is only told. On a connection of its own: the leases' must stay free for renewals (R4). Ends with its connection
 * where the budget did not suffice.
 */
export async function sweep(
  connection: Connection,
  gained: readonly LeasedPartition[],
  options: SweepOptions,
): Promise<void> {
  const { schema, lane, logger, budgetMs, keeps } = options
  const partitions = gained.map((each) => each.partition)
  const ended = [partitions, gained.map((each) => each.epoch.toString()), lane.consumer]
  const query = { text: sweepText(schema, keeps), values: [partitions, lane.consumer, batch] }
  const all = async (): Promise<void> => {
    await connection.query({ text: countEndedText(schema), values: ended }, 'count what was taken')
    if (lane.consumer === '') return
    for (let deleted = batch; deleted === batch;) {
      const [row] = await connection.query<{ deleted: number }>(query, 'delete handled rows')
      deleted = row!.deleted
    }
  }
  try {
    await withDeadline(all(), budgetMs, 'clearing up after the last owner')
  } catch (error) {
    logger.warn(
      { lane, error: describeError(error) },
      'could not clear up all that the last owner left; the next claim does',
    )
  }
}
