import { diagnostic } from '../kernel/diagnostics.ts'
import { describeError } from '../kernel/errors.ts'
import type { Store } from '../ports/store.ts'
import type { Parts } from './relays.ts'
import type { Running } from './running.ts'
import type { Settings } from './settings.ts'

/** Rows deleted by one statement: short, so that it holds up no handler (G1). */
const batch = 5000

const purgedEvents = diagnostic('waybill.cleanup.purged')

/** What one cleanup has done, or has done so far. */
interface Cleaned {
  /** Rows of the inbox. */
  readonly inbox: number
  /** Days of sent messages, dropped whole. */
  readonly sentDays: number
  /** Sent messages that stood outside any day. */
  readonly sent: number
}

interface CleanupTask {
  readonly store: Pick<Store, 'inbox' | 'sent'>
  readonly settings: Pick<Settings, 'inboxRetentionMs' | 'retainMs'>
  readonly signal: AbortSignal
  readonly onProgress?: (cleaned: Cleaned) => void
}

/**
 * Deletes what is past its retention, in bounded batches, until nothing is left or `signal` aborts. Where sent messages are not kept
 * (`retainMs` is 0) those of another time, or of another process that keeps them, are left alone.
 */
async function cleanUp({ store, settings, signal, onProgress }: CleanupTask): Promise<Cleaned> {
  const { inboxRetentionMs, retainMs } = settings
  let cleaned: Cleaned = { inbox: 0, sentDays: 0, sent: 0 }
  const note = (more: Partial<Cleaned>): void => {
    cleaned = { ...cleaned, ...more }
    onProgress?.(cleaned)
  }
  for (let deleted = batch; deleted === batch && !signal.aborted;) {
    deleted = await store.inbox.purge(inboxRetentionMs, batch)
    if (deleted > 0 && purgedEvents.hasSubscribers) purgedEvents.publish({ count: deleted })
    note({ inbox: cleaned.inbox + deleted })
  }
  if (retainMs === 0) return cleaned
  for (let deleted = batch; deleted === batch && !signal.aborted;) {
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
        await cleanUp({ store, settings, signal: stop.signal, onProgress })
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
