import { describeError } from '../kernel/errors.ts'
import type { News } from '../ports/bell.ts'
import type { Parts } from './relays.ts'
import type { Running } from './running.ts'

/**
 * Hears what other processes ring for the relays of this one. The connection is asked for a sign of life as often as leases are renewed: a
 * half-open one is silent, and until that shows polling finds what it would have told (F13).
 */
export function startListening(
  { store, config, clock }: Pick<Parts, 'store' | 'config' | 'clock'>,
  transports: readonly string[],
  hear: (news: News) => void,
  running: Running[],
): void {
  const { settings, logger } = config
  const ear = store.bell.listen(transports, hear)
  if (ear === null) return
  const stop = new AbortController()
  let isListening = false
  let isTold = false
  const loop = async (): Promise<void> => {
    while (!stop.signal.aborted) {
      try {
        await ear.check()
        if (isTold) logger.info({ transports }, 'wake-ups of other processes are heard again')
        isListening = true
        isTold = false
      } catch (error) {
        isListening = false
        if (!isTold && !stop.signal.aborted) {
          logger.warn(
            { error: describeError(error) },
            'cannot hear wake-ups of other processes; polling goes on',
          )
        }
        isTold = true
      }
      await clock.sleep(settings.leaseMs / 3, stop.signal)
    }
  }
  const ended = loop()
  running.push({
    stop: async () => {
      stop.abort()
      await ear.close()
      await ended
    },
    wake() {},
    status: () => ({ kind: 'wake-ups', isListening }),
  })
}
