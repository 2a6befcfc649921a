import type { Clock } from '../kernel/clock.ts'
import { diagnostic } from '../kernel/diagnostics.ts'
import { describeError } from '../kernel/errors.ts'
import type { CleanupSurvey } from '../ports/cleaner.ts'
import type { Store } from '../ports/store.ts'
import type { Parts } from './relays.ts'
import type { Running } from './running.ts'
import type { Settings } from './settings.ts'

/** Rows deleted by one statement: short, so that it holds up no handler (G1). */
const batch = 5000

const purgedEvents = diagnostic('waybill.cleanup.purged')

/** What one cleanup has done, or has done so far. */
export interface Cleaned {
  /** Rows of the inbox. */
  readonly inbox: number
  /** Registrations of relays that are gone. */
  readonly relays: number
  /** Days of sent messages, dropped whole. */
  readonly sentDays: number
  /** Sent messages that stood outside any day. */
  readonly sent: number
}

/** What is past its retention at this moment. */
export interface CleanupPlan extends CleanupSurvey {
  /** `yyyy-mm-dd`. Empty where sent messages are not kept (`retainMs` is 0): then those of another time are left alone. */
  readonly sentDays: readonly string[]
  readonly sent: number
  /** Sent messages there are, as the database estimates them. */
  readonly kept: number
}

export interface CleanupOptions {
  /** Stops between two batches. */
  readonly signal?: AbortSignal | undefined
  readonly onProgress?: ((cleaned: Cleaned) => void) | undefined
}

/** Deletes what is past its retention. Every running process does it by itself, every `cleanupIntervalMs`. */
export interface CleanupDesk {
  /** What would go. Changes nothing; counts up to a million of each. */
  look(): Promise<CleanupPlan>
  /**
   * In bounded batches, until nothing is left. Never what is undelivered, nor what is inside its window. Where another process is at it
   * meanwhile that one does the work.
   */
  run(options?: CleanupOptions): Promise<Cleaned>
}

type CleanupStore = Pick<Store, 'inbox' | 'sent' | 'cleaner'>
type Retention = Pick<Settings, 'inboxRetentionMs' | 'retainMs'>

const mostCounted = 1_000_000

export function createCleanupDesk(store: () => CleanupStore, settings: Retention, clock: Clock): CleanupDesk {
  return {
    async look() {
      const { cleaner, sent } = store()
      const { retainMs, inboxRetentionMs } = settings
      const survey = await cleaner.survey(inboxRetentionMs, mostCounted)
      const { kept, pastDays, pastMessages } = await sent.survey(retainMs)
      const isKept = retainMs > 0
      return { ...survey, kept, sentDays: isKept ? pastDays : [], sent: isKept ? pastMessages : 0 }
    },
    run: (options = {}) => cleanUp({ store: store(), settings, clock }, options),
  }
}

interface Cleanup {
  readonly store: CleanupStore
  readonly settings: Retention
  readonly clock: Clock
}

/**
 * Where sent messages are not kept (`retainMs` is 0) those of another time, or of another process that keeps them, are left alone.
 */
async function cleanUp(
  { store, settings, clock }: Cleanup,
  { signal, onProgress }: CleanupOptions,
): Promise<Cleaned> {
  const { inboxRetentionMs, retainMs } = settings
  const began = clock.now()
  const isStopped = (): boolean => signal?.aborted === true
  let cleaned: Cleaned = { inbox: 0, relays: 0, sentDays: 0, sent: 0 }
  const note = (more: Partial<Cleaned>): void => {
    cleaned = { ...cleaned, ...more }
    onProgress?.(cleaned)
  }
  // Only 0 says that nothing is left: a batch has fewer where it met rows that must stay.
  for (let deleted = 1; deleted > 0 && !isStopped();) {
    // What grows old meanwhile is the next cleanup's: where messages are handled all the time this one would have no end.
    const tookMs = clock.now() - began
    deleted = await store.inbox.purge(inboxRetentionMs + tookMs, batch)
    if (deleted > 0 && purgedEvents.hasSubscribers) purgedEvents.publish({ count: deleted })
    note({ inbox: cleaned.inbox + deleted })
  }
  note({ relays: await store.cleaner.forgetRelays() })
  if (retainMs === 0) return cleaned
  // Here fewer say so: of what is past nothing must stay.
  for (let deleted = batch; deleted === batch && !isStopped();) {
    const { days, messages } = await store.sent.tidy(retainMs, batch)
    deleted = messages
    note({ sentDays: cleaned.sentDays + days, sent: cleaned.sent + messages })
  }
  return cleaned
}

/**
 * Cleans up on a timer of its own. Every process does it; the store lets one at a time, so the others find nothing to do.
 */
export function startCleanup(parts: Pick<Parts, 'config' | 'store' | 'clock'>, running: Running[]): void {
  const { config, store, clock } = parts
  const { settings, logger } = config
  const stop = new AbortController()
  let forgotten = 0

  const step = async (what: string, work: () => Promise<unknown>): Promise<void> => {
    try {
      await work()
    } catch (error) {
      if (!stop.signal.aborted)
        logger.warn({ error: describeError(error) }, `could not ${what}; trying again later`)
    }
  }
  const loop = async (): Promise<void> => {
    while (!stop.signal.aborted) {
      // Apart: where the role may not make tables, messages are kept outside any day, and go all the same.
      if (settings.retainMs > 0)
        await step('make the next days for sent messages', () => store.sent.prepare())
      await step('clean up', async () => {
        const before = forgotten
        const onProgress = ({ inbox }: Cleaned): void => {
          forgotten = before + inbox
        }
        await cleanUp({ store, settings, clock }, { signal: stop.signal, onProgress })
      })
      await clock.sleep(settings.cleanupIntervalMs, stop.signal)
    }
  }
  const ended = loop()
  running.push({
    stop: async () => {
      stop.abort()
      await ended
    },
    wake() {},
    status: () => ({ kind: 'cleanup', forgotten }),
  })
}
