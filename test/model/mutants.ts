import type { Mark } from '../../src/ports/outbox.ts'
import { MindCore } from '../../src/relay/mind/core.ts'
import type { Invariant } from './broken.ts'
import type { Seams } from './relay.ts'
import type { Mutant } from './world.ts'

/** A flaw, and the invariants that tell it: which of them a schedule meets first is chance. */
export interface NamedMutant extends Mutant {
  readonly name: string
  readonly breaks: readonly Invariant[]
  /** Changes the mind's inside; returns what changes it back. */
  readonly patch?: () => () => void
  /** Of the search, where the usual one takes long to come to it. @default 7 */
  readonly seed?: number
}

type Tap = ReturnType<NonNullable<Seams['tap']>>

const lost: Invariant = 'every committed row is handed on'
const stuck: Invariant = 'no key is closed and no partition stuck for ever'
const order: Invariant = 'first occurrences of a key are in commit order'
const twice: Invariant = 'nothing twice without a fault'
const once: Invariant = 'exactly once: a message is in the log once'
const early: Invariant = 'exactly once: a transaction begins when the rows of the last are deleted'
const silent: Invariant = 'a blocked or parked key sends nothing'
const beside: Invariant = 'a follower lies beside a parked head'
const time: Invariant = 'nothing expires before its time, and nothing is sent after it'
const zombie: Invariant = 'a zombie writes nothing, but deletes what it saw confirmed'
const attempts: Invariant = 'attempts never exceed their limit'
const others: Invariant = 'a failing message does not stop others'

function tap(make: () => Tap): Pick<Mutant, 'seams'> {
  return { seams: { tap: make } }
}

function patch(changed: Partial<MindCore>): () => () => void {
  return () => {
    const before = Object.fromEntries(
      Object.keys(changed).map((name) => [name, MindCore.prototype[name as keyof MindCore]]),
    )
    Object.assign(MindCore.prototype, changed)
    return () => void Object.assign(MindCore.prototype, before)
  }
}

const { settle, gain, reopen, close } = MindCore.prototype

export const mutants: readonly NamedMutant[] = [
  {
    name: 'reads from a plain floor, without the list of open transactions',
    breaks: [stuck, others, order],
    ...tap(() => ({ request: (request) => ({ ...request, last: null }) })),
  },
  {
    name: 'reads from a floor and sweeps now and then',
    breaks: [order],
    ...tap(() => {
      let reads = 0
      return {
        request: (request) => {
          const isSweep = (reads += 1) % 5 === 0
          const partitions = request.partitions.map((each) => (isSweep ? { ...each, floor: 0n } : each))
          return { ...request, partitions, last: null }
        },
      }
    }),
  },
  {
    name: 'keeps one cursor for all partitions',
    breaks: [stuck, others, order],
    ...tap(() => ({
      request: (request) => {
        const floors = request.partitions.map(({ floor }) => floor)
        const cursor = floors.reduce((a, b) => (a > b ? a : b), 0n)
        return {
          ...request,
          partitions: request.partitions.map((each) => ({ ...each, floor: cursor })),
          last: null,
        }
      },
    })),
  },
  {
    name: 'lists what was open, but not what began at or above xmax',
    breaks: [stuck, others, order],
    ...tap(() => ({
      request: ({ last, ...request }) => ({
        ...request,
        last: last === null ? null : { ...last, xmax: 2n ** 60n },
      }),
    })),
  },
  {
    name: 'knows xmax, but not what was open below it',
    breaks: [stuck, others, order],
    ...tap(() => ({
      request: ({ last, ...request }) => ({ ...request, last: last === null ? null : { ...last, open: [] } }),
    })),
  },
  {
    name: 'never lowers a floor',
    breaks: [stuck, others, order],
    ...tap(() => {
      const highest = new Map<number, bigint>()
      return {
        request: (request) => {
          const partitions = request.partitions.map(({ partition, floor, mark }) => {
            const before = highest.get(partition) ?? 0n
            highest.set(partition, before > floor ? before : floor)
            return { partition, floor: highest.get(partition)!, mark }
          })
          return { ...request, partitions }
        },
      }
    }),
  },
  {
    name: 'ignores rewinds',
    breaks: [stuck, others, order],
    ...tap(() => ({
      result: (result) => ({
        ...result,
        rewinds: new Map([...result.rewinds.keys()].map((each) => [each, 0n])),
      }),
    })),
  },
  {
    name: 'reads no row whose delay has ended below its floor',
    breaks: [stuck, others],
    ...tap(() => ({
      request: (request) => ({
        ...request,
        partitions: request.partitions.map((each) => ({ ...each, mark: null })),
      }),
    })),
  },
  {
    name: 'lets no mark go back with the clock of the database',
    breaks: [stuck, others],
    ...tap(() => {
      const highest = new Map<number, Mark>()
      return {
        result: (result) => {
          for (const [partition, mark] of result.marks)
            if (Number.parseFloat(mark) > Number.parseFloat(highest.get(partition) ?? '0'))
              highest.set(partition, mark)
          return {
            ...result,
            marks: new Map([...result.marks.keys()].map((each) => [each, highest.get(each)!])),
          }
        },
      }
    }),
  },
  {
    name: 'ends delays by the clock of whoever reads',
    breaks: ['nothing is handed on before its time'],
    flaws: { readsByForeignClock: true },
  },
  {
    name: 'takes a server for the one before it',
    breaks: [stuck, others, order],
    ...tap(() => ({ result: (result) => ({ ...result, server: 'server' }) })),
  },
  {
    name: 'does not see that a late list was cut',
    breaks: [stuck, others, order],
    ...tap(() => ({ request: (request) => ({ ...request, lateLimit: 2 }) })),
    options: { lateLimit: 1000 },
  },
  {
    name: 'looks for news without the list of open transactions',
    breaks: [stuck, others, order],
    ...tap(() => ({ news: (request) => ({ ...request, last: { ...request.last, open: [] } }) })),
  },
  {
    name: 'looks for news only, though something is to be read anew',
    breaks: [stuck, others, order],
    patch: patch({
      gain(partition, epoch, until) {
        Object.defineProperty(this, 'revisions', { get: () => 0, set: () => {} })
        gain.call(this, partition, epoch, until)
      },
    }),
  },
  {
    name: 'looks for news while the clock stands before its marks',
    seed: 8,
    breaks: [stuck],
    flaws: { trustsMarks: true },
  },
  {
    name: 'takes a read that failed for an empty one',
    breaks: [stuck, others, order],
    seams: { takesFailedReadForEmpty: true },
  },
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
    breaks: [order, lost],
    flaws: { parksNothing: true },
  },
  {
    name: 'takes the line of a parked head away when a confirm of it comes late',
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
    breaks: ['what a skip gave up is delivered or dead'],
    flaws: { keepsSkipped: true },
  },
  {
    name: 'counts what has expired whenever it is told of it',
    breaks: ['what expired is counted once'],
    flaws: { countsExpiredAgain: true },
  },
]
