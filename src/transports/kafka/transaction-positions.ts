import type { Consumer } from '@platformatic/kafka'
import { systemClock } from '../../kernel/clock.ts'
import { findApi } from './broker-api.ts'
import type { KafkaLibrary } from './client.ts'
import {
  movedNames,
  topicsOf,
  type CommitResponse,
  type NextOffset,
  type TransactionCommitArguments,
} from './commit-request.ts'
import type { Membership } from './commits.ts'
import type { Coordinator } from './coordinator.ts'
import { hasKafkaError, isRetryable } from './kafka-error.ts'
import type { TransactionPositions } from './transform-writer.ts'

const pauseMs = 50

interface Group {
  readonly kafka: KafkaLibrary
  readonly client: Consumer
  readonly coordinator: Coordinator
  readonly membership: Membership
}

/**
 * Adds the positions of an assignment to a transaction, in the name of the membership that they came in. The library's own
 * `addOffset` speaks in the name that the consumer has when the request leaves: after a rebalance it would commit what another
 * member has now. Of several requests with the same positions in one transaction the last counts, and so one whose answer is
 * lost is asked again.
 */
export function addPositions(
  { kafka, client, coordinator, membership }: Group,
  offsets: readonly NextOffset[],
): TransactionPositions['add'] {
  return async (transactionalId, { client: producer }, transaction, log) => {
    await transaction.addConsumer(client)
    while (!log.isSealed) {
      try {
        const connection = await coordinator.connection()
        const api = await findApi<TransactionCommitArguments, CommitResponse>(
          kafka,
          client,
          'TxnOffsetCommit',
        )
        if (!log.begin('TxnOffsetCommit', false)) break
        const { producerId, producerEpoch } = producer
        const { generationId, memberId } = membership
        const own = [transactionalId, coordinator.groupId, producerId!, producerEpoch!] as const
        await api.async(connection, ...own, generationId, memberId, null, topicsOf(offsets))
        return
      } catch (error) {
        coordinator.judge(error)
        if (hasKafkaError(error, ...movedNames) || !isRetryable(error)) throw error
      }
      await systemClock.sleep(pauseMs)
    }
    throw new kafka.UserError('Given up.')
  }
}
