import type { Logger } from '../kernel/logger.ts'
import type {
  DeadLetterCount,
  DeadLetterFilter,
  DeadLetterPage,
  DeadLetters,
  DeadLetterSummary,
  DeadLetterTarget,
  FullDeadLetter,
  KeyName,
} from '../ports/dead-letters.ts'
import { audit } from './audit.ts'
import { type Left, LeftCounts, plain } from './left.ts'
import {
  checkDeadLetters,
  checkLimit,
  checkOptions,
  checkPage,
  checkSelected,
  isLetterNumber,
  type DeadLetterSelection,
} from './operator-filters.ts'

/** Dead letters in one transaction: short, so that it holds up nobody. */
const batch = 500

/** Dead letters of a page, at most. */
const mostListed = 1000

export interface OperationOptions {
  /** The first so many that fit, at most; of a parked key all go together. @default all */
  readonly limit?: number | undefined
  /** Aborting ends between two transactions; what is done is done. */
  readonly signal?: AbortSignal | undefined
}

export interface ReplayReport {
  /** Messages back in the outbox, where relays take them as soon as they read. */
  readonly returned: number
  /** Messages that their consumer's process runs as soon as it looks. */
  readonly asked: number
  /** Parked keys that came back as a whole, with their messages among `returned`. */
  readonly keys: number
  readonly left: readonly Left[]
}

export interface PurgeReport {
  readonly purged: number
  /** Parked keys that were purged as a whole. */
  readonly keys: number
  readonly left: readonly Left[]
}

/** Messages that were given up. Each change is logged with who made it; made a second time it does nothing. */
export interface DeadLetterDesk {
  /** Without payloads, in the order in which they were given up. 50 unless told; 1,000 at most. */
  list(filter?: DeadLetterSelection, page?: Partial<DeadLetterPage>): Promise<readonly DeadLetterSummary[]>
  /** By number, or by the id of its message, which may be a dead letter of several consumers. */
  show(name: number | string): Promise<readonly FullDeadLetter[]>
  /** What a filter meets: to be looked at before a change. Give its `upTo` to the change, and nothing that came later is in it. */
  count(filter: DeadLetterSelection, options?: Pick<OperationOptions, 'limit'>): Promise<DeadLetterCount>
  /**
   * Delivers again, with the same ids: what stood in the outbox goes back to its old place, and what came from a broker is run by
   * its consumer's process. A message of a parked key brings its whole key back, head and followers, in their old order.
   *
   * One that is older than its channel lets be sent (`expiresAfterMs`, from when it was published or its delay ended) is left: a relay would
   * delete it and count it as lost. A parked key that has one is left as a whole.
   */
  replay(filter: DeadLetterSelection, options?: OperationOptions): Promise<ReplayReport>
  /**
   * Deletes for good. Messages of a parked key only where the filter is that key (channel and key, nothing else that narrows): to
   * purge some of them would tear a hole into its order.
   */
  purge(filter: DeadLetterSelection, options?: OperationOptions): Promise<PurgeReport>
}

export interface DeskParts {
  readonly store: () => { readonly deadLetters: DeadLetters }
  readonly logger: Logger
  /** How old a message of a channel may be when it is sent, in milliseconds; `undefined`: as old as it likes. */
  readonly expiresAfterMs: (channel: string) => number | undefined
  /** Something is in the outbox, or is to be run, again. */
  readonly onReturned: () => void
}

export function createDeadLetterDesk(parts: DeskParts): DeadLetterDesk {
  const port = (): DeadLetters => parts.store().deadLetters
  return {
    async list(filter = {}, page = {}) {
      return await port().list(checkDeadLetters(filter), checkPage(page, isLetterNumber))
    },
    async show(name) {
      if (typeof name === 'number') {
        checkDeadLetters({ numbers: [name] })
        return await port().find({ number: name })
      }
      checkDeadLetters({ ids: [name] })
      return await port().find({ id: name })
    },
    async count(filter, { limit } = {}) {
      return await port().count(await bounded(port(), checkSelected(filter, checkDeadLetters), limit))
    },
    async replay(filter, options = {}) {
      const own = checkSelected(filter, checkDeadLetters)
      checkOptions(options)
      const report = { returned: 0, asked: 0, keys: 0, left: new LeftCounts() }
      const apply = async (target: DeadLetterTarget): Promise<void> => {
        const { returned, asked, left } = await port().replay(target)
        report.returned += returned
        report.asked += asked
        report.left.add(left)
        if ('key' in target && returned > 0) report.keys += 1
      }
      try {
        await walk(port(), own, options, {
          free: async (letters) => {
            const { expired = [], live = [] } = Object.groupBy(letters, (letter) =>
              isExpired(letter, parts.expiresAfterMs) ? 'expired' : 'live',
            )
            if (expired.length > 0) report.left.add([{ why: 'expired', count: expired.length }])
            if (live.length > 0) await apply({ numbers: numbersOf(live) })
          },
          parked: oncePerKey(async (target) => {
            const { messages, expired } = await lookAt(port(), target.key, parts.expiresAfterMs)
            if (expired > 0) report.left.add([{ why: 'key-expired', count: messages }])
            else await apply(target)
          }, options.signal),
        })
      } finally {
        audit(parts.logger, 'dead.replay', own, plain(report))
        parts.onReturned()
      }
      return plain(report)
    },
    async purge(filter, options = {}) {
      const own = checkSelected(filter, checkDeadLetters)
      checkOptions(options)
      const report = { purged: 0, keys: 0, left: new LeftCounts() }
      const apply = async (target: DeadLetterTarget): Promise<void> => {
        const { purged, left } = await port().purge(target)
        report.purged += purged
        report.left.add(left)
        if ('key' in target && purged > 0) report.keys += 1
      }
      const leave = async (letters: readonly DeadLetterSummary[]): Promise<void> => {
        report.left.add([{ why: 'key-parked', count: letters.length }])
      }
      const parked = namesOneKey(own) ? oncePerKey(apply, options.signal) : leave
      try {
        const free = (letters: readonly DeadLetterSummary[]): Promise<void> =>
          apply({ numbers: numbersOf(letters) })
        await walk(port(), own, options, { free, parked })
      } finally {
        audit(parts.logger, 'dead.purge', own, plain(report))
        parts.onReturned()
      }
      return plain(report)
    },
  }
}

/** What is done with the dead letters of a page. */
interface Steps {
  /** Those whose key is not parked. */
  free(letters: readonly DeadLetterSummary[]): Promise<void>
  parked(letters: readonly DeadLetterSummary[]): Promise<void>
}

/**
 * Goes through what fits in the order of number, and no further than to what was there at the beginning: a message that fails
 * again at once is not taken round and round.
 */
async function walk(
  port: DeadLetters,
  filter: DeadLetterFilter,
  { limit, signal }: OperationOptions,
  steps: Steps,
): Promise<void> {
  const { upTo, ...within } = await bounded(port, filter, limit)
  const last = upTo ?? (await port.count({ numbers: [] })).upTo
  for (let after = 0; ;) {
    if (signal?.aborted === true) return
    const page = await port.list({ ...within, upTo: last }, { after, limit: batch })
    const free = page.filter((letter) => !letter.isKeyParked)
    const parked = page.filter((letter) => letter.isKeyParked)
    if (free.length > 0) await steps.free(free)
    if (parked.length > 0) await steps.parked(parked)
    if (page.length < batch) return
    after = page.at(-1)!.number
  }
}

function numbersOf(letters: readonly DeadLetterSummary[]): readonly number[] {
  return letters.map((letter) => letter.number)
}

/** A consumer runs what it had from a broker however old it is: only relays let messages expire. */
function isExpired(
  { channel, ageMs, isFromBroker }: DeadLetterSummary,
  expiresAfterMs: DeskParts['expiresAfterMs'],
): boolean {
  return !isFromBroker && ageMs > (expiresAfterMs(channel) ?? Infinity)
}

/** What a parked key has, and how much of it a relay would let expire. */
async function lookAt(
  port: DeadLetters,
  { consumer, channel, key }: KeyName,
  expiresAfterMs: DeskParts['expiresAfterMs'],
): Promise<{ readonly messages: number; readonly expired: number }> {
  const found = { messages: 0, expired: 0 }
  if (expiresAfterMs(channel) === undefined) return found
  for (let after = 0; ;) {
    const page = await port.list({ consumer, channel, key }, { after, limit: mostListed })
    const parked = page.filter((letter) => letter.isKeyParked)
    found.messages += parked.length
    found.expired += parked.filter((letter) => isExpired(letter, expiresAfterMs)).length
    if (page.length < mostListed) return found
    after = page.at(-1)!.number
  }
}

/** Each parked key is dealt with as a whole, and so once. */
function oncePerKey(
  apply: (target: { readonly key: KeyName }) => Promise<void>,
  signal: AbortSignal | undefined,
): Steps['parked'] {
  const met = new Set<string>()
  return async (letters) => {
    for (const { consumer, channel, key } of letters) {
      const name = JSON.stringify([consumer, channel, key])
      if (met.has(name) || signal?.aborted === true) continue
      met.add(name)
      await apply({ key: { consumer, channel, key: key! } })
    }
  }
}

/** The filter with the number of the last one that the limit lets in. */
async function bounded(
  port: DeadLetters,
  filter: DeadLetterFilter,
  limit: number | undefined,
): Promise<DeadLetterFilter> {
  if (limit === undefined) return filter
  let rest = checkLimit(limit, Number.MAX_SAFE_INTEGER)
  for (let after = 0; ;) {
    const page = await port.list(filter, { after, limit: Math.min(rest, mostListed) })
    rest -= page.length
    after = page.at(-1)?.number ?? after
    if (rest === 0 || page.length < mostListed) return { ...filter, upTo: after }
  }
}

/** Channel and key, perhaps the consumer, and nothing that leaves some of it out. */
function namesOneKey({ channel, key, consumer: _consumer, upTo: _upTo, ...more }: DeadLetterFilter): boolean {
  return (
    channel !== undefined && key !== undefined && Object.values(more).every((value) => value === undefined)
  )
}
