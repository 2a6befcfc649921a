import type { BlockedLine, DeadLetter, Follower, OutboxRow } from '../../../src/ports/outbox.ts'
import type { Desk } from './support.ts'

export function lineOf(row: OutboxRow, desk: Desk, changes: Partial<BlockedLine> = {}): BlockedLine {
  const { partition, seq, id, channel, key } = row
  const failure = { attempts: 1, retryInMs: 0, errorCode: 'E', error: 'why' }
  return { partition, seq, id, channel, key, epoch: desk.epoch(partition), ...failure, ...changes }
}

export function letterOf(row: OutboxRow, desk: Desk, changes: Partial<DeadLetter> = {}): DeadLetter {
  const { partition, seq, id, channel } = row
  const failure = { attempts: 3, reason: 'attempts-exhausted', errorCode: 'E', error: 'why' } as const
  return { partition, seq, id, channel, epoch: desk.epoch(partition), ...failure, ...changes }
}

export function followerOf({ partition, seq, id, channel, key }: OutboxRow, desk: Desk): Follower {
  return { partition, seq, id, channel, key: key!, epoch: desk.epoch(partition) }
}
