import fc from 'fast-check'
import { expect, it } from 'vitest'
import { committed, type AbortedTransaction, type CommittedBatch } from './committed.ts'

/** A step of a producer: a batch in its transaction or outside of it, or the end of its transaction. */
type Step =
  | { readonly type: 'write'; readonly producer: number; readonly size: number; readonly plain: boolean }
  | { readonly type: 'end'; readonly producer: number; readonly isCommit: boolean }

const producer = fc.nat(3)
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      type: fc.constant('write'),
      producer,
      size: fc.integer({ min: 1, max: 3 }),
      plain: fc.nat(4).map((n) => n === 0),
    }),
  },
  // Also without a transaction: a marker that ends one which wrote elsewhere only.
  { weight: 2, arbitrary: fc.record({ type: fc.constant('end'), producer, isCommit: fc.boolean() }) },
)

/** One partition as the broker keeps it: batches, the index of aborted transactions, and which records count. */
class Log {
  readonly batches: CommittedBatch[] = []
  readonly #aborts: (AbortedTransaction & { readonly lastOffset: bigint })[] = []
  readonly #open = new Map<number, { readonly first: bigint; readonly offsets: bigint[] }>()
  readonly #good: bigint[] = []
  #end = 0n

  run(step: Step): void {
    const { producer } = step
    if (step.type === 'end') {
      const transaction = this.#open.get(producer)
      this.#open.delete(producer)
      if (step.isCommit) this.#good.push(...(transaction?.offsets ?? []))
      else if (transaction !== undefined) {
        this.#aborts.push({
          producerId: BigInt(producer),
          firstOffset: transaction.first,
          lastOffset: this.#end,
        })
      }
      const key = Buffer.alloc(4)
      key.writeInt16BE(step.isCommit ? 1 : 0, 2)
      this.#append(producer, 0b110000, [key])
      return
    }
    const offsets = Array.from({ length: step.size }, (_, i) => this.#end + BigInt(i))
    if (step.plain) this.#good.push(...offsets)
    else {
      const transaction = this.#open.get(producer) ?? { first: this.#end, offsets: [] }
      transaction.offsets.push(...offsets)
      this.#open.set(producer, transaction)
    }
    this.#append(
      producer,
      step.plain ? 0 : 0b10000,
      offsets.map(() => null),
    )
  }

  #append(producer: number, attributes: number, keys: readonly (Buffer | null)[]): void {
    this.batches.push({
      firstOffset: this.#end,
      lastOffsetDelta: keys.length - 1,
      attributes,
      producerId: BigInt(producer),
      records: keys.map((key) => ({ key })),
    })
    this.#end += BigInt(keys.length)
  }

  /** The last stable offset: before the first transaction that is open. */
  get stable(): bigint {
    return [...this.#open.values()].reduce((least, { first }) => (first < least ? first : least), this.#end)
  }

  get delivered(): bigint[] {
    return this.#good.filter((offset) => offset < this.stable).toSorted((a, b) => Number(a - b))
  }

  /** What the broker answers from `offset`, of so many batches: the batch that holds it comes whole. */
  fetch(
    offset: bigint,
    most: number,
  ): { readonly batches: CommittedBatch[]; readonly aborted: AbortedTransaction[] } {
    const batches = this.batches
      .filter(({ firstOffset, lastOffsetDelta }) => firstOffset + BigInt(lastOffsetDelta) >= offset)
      .filter(({ firstOffset }) => firstOffset < this.stable)
      .slice(0, most)
    const last = batches.at(-1)
    const upper = last === undefined ? offset : last.firstOffset + BigInt(last.lastOffsetDelta) + 1n
    const aborted = this.#aborts
      .filter(({ firstOffset, lastOffset }) => lastOffset >= offset && firstOffset < upper)
      // In the order of their markers, as the broker writes its index.
      .map(({ producerId, firstOffset }) => ({ producerId, firstOffset }))
    return { batches, aborted }
  }
}

it('delivers the committed records, all and in order, whatever is interleaved and wherever fetches end', () => {
  let abortedBatches = 0
  let cutTransactions = 0
  fc.assert(
    fc.property(
      fc.array(step, { maxLength: 60, size: 'max' }),
      fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 5 }),
      (steps, sizes) => {
        const log = new Log()
        for (const next of steps) log.run(next)
        const delivered: bigint[] = []
        let position = 0n
        for (let turn = 0; position < log.stable; turn++) {
          const before = position
          const { batches, aborted } = log.fetch(position, sizes[turn % sizes.length]!)
          if (aborted.some(({ firstOffset }) => firstOffset < before)) cutTransactions += 1
          for (const { batch, isDelivered } of committed(batches, aborted)) {
            const offsets = batch.records.map((_, i) => batch.firstOffset + BigInt(i))
            if (isDelivered) delivered.push(...offsets)
            else if (batch.attributes === 0b10000) abortedBatches += 1
            position = batch.firstOffset + BigInt(batch.lastOffsetDelta) + 1n
          }
          expect(position).toBeGreaterThan(before)
        }
        expect(delivered).toEqual(log.delivered)
      },
    ),
    { numRuns: 1000 },
  )
  // The runs were of the kind that goes wrong.
  expect(abortedBatches).toBeGreaterThan(500)
  expect(cutTransactions).toBeGreaterThan(100)
})
