import { diagnostic } from '../kernel/diagnostics.ts'
import { describeError } from '../kernel/errors.ts'
import type { Parts } from './relays.ts'
import type { Running } from './running.ts'

/** Inbox rows deleted by one statement: short, so that it holds up no handler (G1). */
const batch = 5000

const purgedEvents = diagnostic('waybill.cleanup.purged')

/**
 * Forgets what is past its retention, on a timer of its own. Every process does it; the store lets one at a time, so the
 * others find nothing to do.
 */
export function startCleanup(parts: Pick<Parts, 'config' | 'store' | 'clock'>, running: Running[]): void {
  const { config, store, clock } = parts
  const { settings, logger } = config
  const stop = new AbortController()
  let forgotten = 0

  const purge = async (): Promise<void> => {
    for (let deleted = batch; deleted === batch && !stop.signal.aborted;) {
      deleted = await store.inbox.purge(settings.inboxRetentionMs, batch)
      forgotten += deleted
      if (deleted > 0 && purgedEvents.hasSubscribers) purgedEvents.publish({ count: deleted })
    }
  }
  const loop = async (): Promise<void> => {
    while (!stop.signal.aborted) {
      try {
        await purge()
      } catch (error) {
        logger.warn({ error: describeError(error) }, 'could not clean the inbox up; trying again later')
      }
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
