import { systemClock } from '../../kernel/clock.ts'
import type { FencedOutcome } from '../../ports/transport.ts'
import type { FencedSession, LastStep } from './fenced-session.ts'
import { cutIntoSends, type PlacedRecord } from './sends.ts'
import { judge } from './transaction-judgement.ts'

/** By topic, in bytes: half of what the broker has refused as too large. */
export type BatchLimits = Map<string, number>

export interface WriteOptions {
  /** Learned here, and kept for the next transaction. */
  readonly limits: BatchLimits
  /** For topics that have refused nothing. */
  readonly maxBytes: number
  /** By `systemClock`: until then. */
  readonly end: number
  readonly lastStep?: LastStep
}

export interface Written {
  readonly outcome: FencedOutcome
  /** What the client reported of the transaction that was the last. */
  readonly error?: unknown
}

/**
 * Writes records of `count` messages in one transaction, and again in smaller batches where the broker has refused batches as
 * too large.
 */
export async function writeTogether(
  session: FencedSession,
  records: readonly PlacedRecord[],
  count: number,
  { limits: known, maxBytes, end, lastStep }: WriteOptions,
): Promise<Written> {
  const limits = new Map(known)
  for (;;) {
    const sends = cutIntoSends(records, (topic) => limits.get(topic) ?? maxBytes)
    const failed = await session.transact(sends, end - systemClock.now(), lastStep)
    if (failed === undefined) return { outcome: { outcome: 'committed' } }
    const judgement = judge(failed, records, count)
    if (judgement.kind === 'outcome') return { outcome: judgement.outcome, error: failed.error }
    for (const { topic, bytes, isSize } of judgement.batches) {
      limits.set(topic, bytes >> 1)
      // A refusal for another reason says nothing about the next transaction's batches.
      if (isSize) known.set(topic, bytes >> 1)
    }
  }
}
