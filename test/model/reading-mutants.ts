import type { Mark } from '../../src/ports/outbox.ts'
import { MindCore } from '../../src/relay/mind/core.ts'
import { type NamedMutant, order, others, patch, stuck, tap } from './named-mutant.ts'

const { gain } = MindCore.prototype

/** Of what a relay asks for and believes of the answers. */
export const readingMutants: readonly NamedMutant[] = [
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
    from: 739,
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
    from: 1597,
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
    name: 'passes by what a read did not look at',
    breaks: [stuck, others, order],
    ...tap(() => ({
      result: (result) => ({
        ...result,
        tops: new Map([...result.tops].map(([p, top]) => [p, result.unseen.has(p) ? top + 5n : top])),
      }),
    })),
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
]
