import type { Fate, FencedOutcome } from '../../ports/transport.ts'
import { abortedTogether, notSent, notTaken, refusalOf, rejectedBy } from './fates.ts'
import type { FailedTransaction } from './fenced-session.ts'
import { kafkaErrorName } from './kafka-error.ts'
import { placeOf, type PlacedRecord } from './sends.ts'
import { isFencing } from './transaction-log.ts'

/** A batch of several records that was refused whole. */
export interface RefusedBatch {
  readonly topic: string
  readonly bytes: number
  /** Refused for its size: no batch of that size will do for this topic. */
  readonly isSize: boolean
}

export type Judgement =
  | { readonly kind: 'outcome'; readonly outcome: FencedOutcome }
  /** One of them may be the trouble, or only their number: smaller batches will tell. */
  | { readonly kind: 'refused'; readonly batches: readonly RefusedBatch[] }

const unknownTopic = 3
const sizeCodes: readonly number[] = [10, 18]

/**
 * What became of a transaction that failed. Without a commit that was asked for it is certain that nothing of it will ever be
 * seen; with one it is certain only where each such request was answered by a refusal.
 */
export function judge(failed: FailedTransaction, records: readonly PlacedRecord[], count: number): Judgement {
  const { error, log, sending } = failed
  const outcome = (of: FencedOutcome): Judgement => ({ kind: 'outcome', outcome: of })
  if (log.mayBeCommitted) return outcome(unknownCommit)
  if (isFencing(error)) return outcome({ outcome: 'fenced' })

  const batches = refusedBatches(failed)
  if (batches.length > 0) return { kind: 'refused', batches }
  const last = new Set(sending)
  const fates = Array.from({ length: count }, (): Fate | undefined => undefined)
  let hasCulprit = false
  let noteFate: Fate | undefined
  for (const placed of records) {
    const code = log.refusalOf(placed.record.topic, placed.partition)
    const refusal = code === undefined ? undefined : refusalOf(code)
    if (refusal === undefined || refusal.endsProducer === true) continue
    // A refused message stands alone in the last send; others of its partition went before, or would have come after.
    if (refusal.scope === 'message' && !last.has(placed)) continue
    hasCulprit = true
    if (placed.index === null && code === unknownTopic) return outcome(lostNotes)
    if (placed.index === null) noteFate = notSent(refusal.name, `Its note was refused: ${refusal.name}.`)
    else fates[placed.index] = rejectedBy(refusal)
  }
  const others = noteFate ?? (hasCulprit ? abortedTogether : notTaken(kafkaErrorName(error)))
  return outcome({ outcome: 'rejected', fates: fates.map((fate) => fate ?? others) })
}

/** Trying again is no use: only a take-over looks for the topic, and makes it. */
export const lostNotes: Extract<FencedOutcome, { outcome: 'unknown' }> = {
  outcome: 'unknown',
  code: 'UNKNOWN_TOPIC_OR_PARTITION',
  reason:
    'Nothing of it is there, but the topic of the notes has gone. Taking over makes it anew, and finds it empty.',
}

const unknownCommit: FencedOutcome = {
  outcome: 'unknown',
  code: 'WB_PUBLISH_OUTCOME_UNKNOWN',
  reason: 'Its commit was asked for, and the broker did not answer in time.',
}

function refusedBatches({ log, sending }: FailedTransaction): RefusedBatch[] {
  const batches = new Map<string, { topic: string; bytes: number; records: number; code: number }>()
  for (const placed of sending) {
    const { topic, bytes } = placed.record
    const code = log.refusalOf(topic, placed.partition)
    if (code === undefined || refusalOf(code)?.scope !== 'message') continue
    const batch = batches.get(placeOf(placed)) ?? { topic, bytes: 0, records: 0, code }
    batch.bytes += bytes
    batch.records += 1
    batches.set(placeOf(placed), batch)
  }
  return [...batches.values()]
    .filter(({ records }) => records > 1)
    .map(({ topic, bytes, code }) => ({ topic, bytes, isSize: sizeCodes.includes(code) }))
}
