import { MindCore } from '../../src/relay/mind/core.ts'
import {
  type NamedMutant,
  attempts,
  beside,
  early,
  lost,
  once,
  order,
  others,
  patch,
  silent,
  stuck,
  tap,
  time,
  twice,
  zombie,
} from './named-mutant.ts'
import { readingMutants } from './reading-mutants.ts'

const { settle, gain, reopen, close } = MindCore.prototype

export const mutants: readonly NamedMutant[] = [
  ...readingMutants,
  {
    name: 'takes an unknown fate for a confirmation',
    breaks: [lost, order],
    ...tap(() => ({ fate: (fate) => (fate.outcome === 'unknown' ? { outcome: 'confirmed' } : fate) })),
  },
  {
    name: 'takes a batch for confirmed where some of it is',
    breaks: [lost, order],
    ...tap(() => ({
      fates: (fates) =>
        fates.some(({ outcome }) => outcome === 'confirmed')
          ? fates.map(() => ({ outcome: 'confirmed' }))
          : fates,
    })),
  },
  { name: 'deletes a row before it has sent it', breaks: [lost], seams: { removesBeforeSend: true } },
  {
    name: 'forgets how often a message has failed',
    breaks: [attempts],
    ...tap(() => ({
      result: (result) => ({ ...result, rows: result.rows.map((row) => ({ ...row, attempts: 0 })) }),
    })),
  },
  { name: 'does not await its deletes', breaks: [twice, stuck], seams: { awaitsNot: 'remove' } },
  { name: 'does not await its lines', breaks: [order, stuck, others], seams: { awaitsNot: 'block' } },
  {
    name: 'sends before its take is acknowledged',
    breaks: ['at most once: nothing is sent before its take is acknowledged'],
    seams: { awaitsNot: 'take' },
  },
  {
    name: 'sends again what was sent once and not answered for',
    breaks: ['at most once: nothing is sent twice'],
    seams: { dispatchesAgain: true },
  },
  {
    name: 'begins a transaction before the rows of the last are deleted',
    breaks: [early, once],
    seams: { awaitsNot: 'removeFenced' },
  },
  {
    name: 'reads a partition before the rows of its last note are deleted',
    breaks: [once, early, order],
    patch: patch({
      gain(partition, epoch, until) {
        gain.call(this, partition, epoch, until)
        const fence = this.partitions?.get(partition)?.fence ?? null
        if (fence !== null) Object.defineProperty(fence, 'acceptsFromRead', { get: () => 0, set: () => {} })
      },
    }),
  },
  { name: 'lets a zombie write lines, letters and takes', breaks: [zombie], flaws: { checksNoEpoch: true } },
  { name: 'lets a zombie write on', breaks: [once, order, early], flaws: { fencesNobody: true } },
  {
    name: 'notes a span in place of its rows',
    breaks: [lost, once],
    ...tap(() => ({
      found: (found, partition, { tables }) => {
        if (found.last === null) return found
        const seqs = found.last.rows.map(({ seq }) => seq)
        const isWithin = (seq: bigint): boolean => seqs.some((a) => a <= seq) && seqs.some((b) => b >= seq)
        const rows = [...tables.rows.values()].filter(
          (row) => row.partition === partition && isWithin(row.seq),
        )
        return { ...found, last: { ...found.last, rows } }
      },
    })),
  },
  {
    name: 'takes an unanswered commit for a failed one',
    breaks: [once, others],
    ...tap(() => ({
      outcome: (outcome) => (outcome.outcome === 'unknown' ? { outcome: 'rejected', fates: [] } : outcome),
    })),
  },
  {
    name: 'takes an unanswered commit for a done one',
    breaks: [lost, stuck, 'exactly once: it never stops without a fail-over'],
    ...tap(() => ({
      outcome: (outcome) => (outcome.outcome === 'unknown' ? { outcome: 'committed' } : outcome),
    })),
  },
  { name: 'deletes by number alone', breaks: [lost], flaws: { removesByNumberAlone: true } },
  {
    name: 'raises no rewind when a line goes',
    breaks: [stuck, others, order],
    flaws: { removesWithoutRewind: true },
  },
  {
    name: 'forgets a row as soon as its delete is acknowledged',
    breaks: [twice, 'memory returns to nothing'],
    patch: patch({
      settle(entry) {
        settle.call(this, entry)
        entry.partition.entries.delete(entry)
      },
    }),
  },
  {
    name: 'does not close the key of a row it dropped',
    breaks: [order, stuck, others],
    patch: patch({
      close(key, lowest, waitsFor) {
        if (waitsFor === 'moves') close.call(this, key, lowest, waitsFor)
      },
    }),
  },
  {
    name: 'opens a key without reading below what it dropped',
    breaks: [stuck, others, order],
    patch: patch({
      reopen(key) {
        reopen.call(this, key, false)
      },
    }),
  },
  {
    name: 'forgets what it passed by while a line was being written, on a key',
    from: 2559,
    breaks: [stuck, others, order],
    patch: patch({
      reset(partition) {
        partition.floor = 0n
      },
    }),
  },
  {
    name: 'forgets what it passed by while a line was being written, without a key',
    breaks: [stuck, others, order],
    patch: patch({ reread() {} }),
  },
  {
    name: 'believes what a server acknowledged that is not read any more',
    seed: 12,
    from: 10_909,
    breaks: [stuck, others, order],
    patch: patch({
      gain(partition, epoch, until) {
        Object.defineProperty(this, 'histories', { get: () => 0, set: () => {} })
        gain.call(this, partition, epoch, until)
      },
    }),
  },
  {
    name: 'probes a destination with whatever stands first',
    seed: 41,
    breaks: [others],
    patch: patch({ hasLookedAround: () => true }),
  },
  {
    name: 'sends what stands behind a parked head',
    breaks: [silent],
    ...tap(() => ({
      result: (result) => ({ ...result, rows: result.rows.map((row) => ({ ...row, isParked: false })) }),
    })),
  },
  {
    name: 'lets the key of a parked head go on',
    from: 1475,
    breaks: [order, lost],
    flaws: { parksNothing: true },
  },
  {
    name: 'takes the line of a parked head away when a confirm of it comes late',
    from: 6108,
    breaks: [order, beside],
    flaws: { removesParkedLines: true },
  },
  {
    name: 'moves followers without looking whether their key is still parked',
    breaks: [order, beside],
    flaws: { movesWithoutLine: true },
  },
  {
    name: 'tries a blocked head again by itself',
    breaks: [silent],
    flaws: { retriesBlocked: true },
  },
  {
    name: 'opens a parked key without reading what it passed by meanwhile',
    breaks: [stuck, others, order],
    patch: patch({
      close(key, lowest, waitsFor) {
        close.call(this, key, lowest, waitsFor)
        if (waitsFor === 'moves')
          Object.defineProperty(key.closed, 'rereads', {
            get: () => false,
            set: () => {},
            configurable: true,
          })
      },
    }),
  },
  {
    name: 'reckons ages by a clock that is ahead of the database',
    breaks: [time],
    ...tap(() => ({ result: (result) => ({ ...result, serverTimeMs: result.serverTimeMs + 2000 }) })),
  },
  {
    name: 'sends what has expired',
    breaks: [time],
    patch: patch({ hasExpired: () => false }),
  },
  {
    name: 'leaves the letter of a skipped head that arrives',
    from: 2451,
    breaks: ['what a skip gave up is delivered or dead'],
    flaws: { keepsSkipped: true },
  },
  {
    name: 'counts what has expired whenever it is told of it',
    breaks: ['what expired is counted once'],
    flaws: { countsExpiredAgain: true },
  },
]
