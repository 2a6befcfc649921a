import type { RecordsBatch } from '@platformatic/kafka'

const transactional = 1 << 4
const control = 1 << 5
const abort = 0

/** A transaction that was aborted, as the broker tells of it beside the batches of a fetch. */
export interface AbortedTransaction {
  readonly producerId: bigint
  /** Of its first batch in this partition. */
  readonly firstOffset: bigint
}

/** What decides whether a batch is delivered. */
export type CommittedBatch = Pick<
  RecordsBatch,
  'firstOffset' | 'lastOffsetDelta' | 'attributes' | 'producerId'
> & { readonly records: readonly { readonly key: Buffer | null }[] }

/**
 * The batches of one partition in one fetch, in their order, each with whether its records are to be delivered: not those
 * of aborted transactions, nor markers. The position moves past all of them. Only right for what was fetched as
 * READ_COMMITTED: then the broker ends the answer before the first transaction that is still open, and every aborted one
 * with a batch in it is listed, whichever fetch its marker comes in (KIP-98).
 *
 * The library's own filter keeps one range for each producer, and takes a marker that comes later for none: of several
 * aborts of one producer in a fetch it delivers all but the last, and those whose marker is not there.
 */
export function* committed<Batch extends CommittedBatch>(
  batches: readonly Batch[],
  aborted: readonly AbortedTransaction[],
): Generator<{ readonly batch: Batch; readonly isDelivered: boolean }> {
  const starts = aborted.toSorted((a, b) => Number(a.firstOffset - b.firstOffset))
  const aborting = new Set<bigint>()
  let next = 0
  for (const batch of batches) {
    const last = batch.firstOffset + BigInt(batch.lastOffsetDelta)
    for (; next < starts.length && starts[next]!.firstOffset <= last; next++) {
      aborting.add(starts[next]!.producerId)
    }
    if ((batch.attributes & control) !== 0) {
      // Key of a control record: version and type, 16 bits each. A marker can end a transaction that wrote nothing here.
      if (batch.records[0]?.key?.readInt16BE(2) === abort) aborting.delete(batch.producerId)
      yield { batch, isDelivered: false }
    } else {
      // A producer can also write outside of transactions, and what it writes so is never aborted.
      const isAborted = (batch.attributes & transactional) !== 0 && aborting.has(batch.producerId)
      yield { batch, isDelivered: !isAborted }
    }
  }
}
