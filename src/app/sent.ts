import type { Clock } from '../kernel/clock.ts'
import { isWaybillError, WaybillError } from '../kernel/errors.ts'
import type { Logger } from '../kernel/logger.ts'
import type { Replayed, SentFilter, SentMessages } from '../ports/sent-messages.ts'
import { audit } from './audit.ts'
import { didYouMean } from '../kernel/suggest.ts'
import { longestAgoMs } from './operator-filters.ts'

/** Messages written again by one statement: their keys are locked to its end. */
const batch = 500
/** A key's lock that was not to be had in time is asked for again so often. */
const mostTries = 10
const pauseMs = 200

/** A moment, or so many milliseconds before now; by the database's clock. */
export type Moment = Date | { readonly agoMs: number }

/** Which of the messages that were kept after they were sent. Whoever means all of them says so. */
export interface SentSelection {
  readonly channel?: string | undefined
  readonly key?: string | undefined
  /** Sent at this moment or later. */
  readonly since?: Moment | undefined
  /** Sent before this moment. @default now */
  readonly until?: Moment | undefined
  /** Every message that is kept. @default false */
  readonly all?: boolean | undefined
}

export interface ReplaySentOptions {
  /**
   * `true`: copies with new ids, the old one in the header `waybill-replay-of`; consumers take them for messages of their own. `false`:
   * the messages themselves go again, with their ids: an inbox that has them passes them by, who lacks them gets them.
   * @default false
   */
  readonly asNew?: boolean | undefined
  /** Stops between two batches; what was replayed by then stays so. */
  readonly signal?: AbortSignal | undefined
  readonly onProgress?: ((report: SentReplayReport) => void) | undefined
}

export type SentReplayReport = Pick<Replayed, 'replayed' | 'known' | 'unroutable'>

/** Messages that were kept after they were sent (`retainMs`). Each replay is logged with who made it. */
export interface SentDesk {
  /** Counted up to `most`, ten million unless told. */
  count(selection: SentSelection, most?: number): Promise<number>
  /**
   * Sends them again, each key in its old order. Without `asNew` they move: a second call finds nothing until they have been sent
   * again. Throws `WB_INVALID_OPTION`, and what the store throws; what was replayed before that stays so.
   */
  replay(selection: SentSelection, options?: ReplaySentOptions): Promise<SentReplayReport>
}

export interface SentDeskParts {
  readonly store: () => { readonly sent: SentMessages }
  readonly logger: Logger
  readonly clock: Clock
  /** Something is in the outbox again. */
  readonly onReturned: () => void
}

export function createSentDesk({ store, logger, clock, onReturned }: SentDeskParts): SentDesk {
  return {
    async count(selection, most = 10_000_000) {
      const filter = await filterOf(store().sent, checked(selection))
      return (await store().sent.count(filter, most)).count
    },
    async replay(selection, options = {}) {
      const { asNew = false, signal, onProgress } = options
      const isStopped = (): boolean => signal?.aborted === true
      // The end stands before the first batch, so that what is replayed and sent meanwhile is not taken for more of it.
      const filter = await filterOf(store().sent, checked(selection))
      const report = { replayed: 0, known: 0, unroutable: 0 }
      try {
        let after: Replayed['after'] = null
        do {
          const place: Replayed['after'] = after
          const done: Replayed = await persistently(clock, signal, () =>
            store().sent.replay(filter, { after: place, limit: batch, asNew }),
          )
          report.replayed += done.replayed
          report.known += done.known
          report.unroutable += done.unroutable
          after = done.after
          onReturned()
          onProgress?.({ ...report })
        } while (after !== null && !isStopped())
      } finally {
        audit(logger, 'sent.replay', { ...filter, asNew }, report)
      }
      return report
    },
  }
}

/** A statement that met a lock changed nothing: it can be made again. */
async function persistently<T>(
  clock: Clock,
  signal: AbortSignal | undefined,
  work: () => Promise<T>,
): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await work()
    } catch (error) {
      const isConflict = isWaybillError(error) && error.code === 'WB_STORE_CONFLICT'
      if (!isConflict || tries === mostTries || signal?.aborted === true) throw error
      await clock.sleep(pauseMs * tries, signal)
    }
  }
}

async function filterOf(
  sent: SentMessages,
  { channel, key, since, until }: SentSelection,
): Promise<SentFilter> {
  const { now } = await sent.count({}, 0)
  const at = (moment: Moment): Date =>
    moment instanceof Date ? moment : new Date(now.getTime() - moment.agoMs)
  const [from, to] = [since === undefined ? undefined : at(since), until === undefined ? now : at(until)]
  if (from !== undefined && from >= to) {
    throw new WaybillError(
      'WB_INVALID_OPTION',
      `Nothing was sent since ${from.toISOString()} and before ${to.toISOString()}: since must be before until, which is now unless told.`,
    )
  }
  return { channel, key, since: from, until: to }
}

const names = ['channel', 'key', 'since', 'until', 'all'] as const

function checked(selection: SentSelection): SentSelection {
  const refuse = (sentence: string): never => {
    throw new WaybillError('WB_INVALID_OPTION', sentence)
  }
  if (typeof selection !== 'object' || selection === null)
    refuse('Sent messages are chosen by an object of conditions.')
  for (const name of Object.keys(selection)) {
    if (!names.some((known) => known === name))
      refuse(`There is no condition "${name}".${didYouMean(name, names)}`)
  }
  const { channel, key, since, until, all } = selection
  for (const [name, text] of Object.entries({ channel, key })) {
    if (text !== undefined && typeof text !== 'string') refuse(`Condition ${name} must be a text.`)
  }
  for (const [name, moment] of Object.entries({ since, until })) {
    if (moment !== undefined && !isMoment(moment))
      refuse(
        `Condition ${name} must be a Date or { agoMs }: of the years 1900 to 9999, and 100 years at most.`,
      )
  }
  if (all !== true && [channel, key, since, until].every((condition) => condition === undefined)) {
    refuse(
      'The filter names nothing. Narrow it by channel, key or time, or say that all are meant: { all: true }.',
    )
  }
  return selection
}

/** ISO 8601 has other forms beyond them, which PostgreSQL does not read. */
const [earliest, latest] = [Date.UTC(1900, 0), Date.UTC(9999, 11)]

function isMoment(value: unknown): value is Moment {
  if (value instanceof Date) return value.getTime() >= earliest && value.getTime() <= latest
  const { agoMs } = (value ?? {}) as { agoMs?: unknown }
  return typeof agoMs === 'number' && agoMs >= 0 && agoMs <= longestAgoMs
}
