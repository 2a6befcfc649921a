import { systemClock } from '../../kernel/clock.ts'
import type { Proxy } from '../proxy.ts'
import type { ActiveFault, Fault } from './fault.ts'

/** RST to every connection, again and again until it is healed. */
export function resetFault(link: string, proxy: Proxy, everyMs = 200): Fault {
  return {
    name: `reset ${link}`,
    async inject(): Promise<ActiveFault> {
      const over = new AbortController()
      let hits = 0
      const repeat = async (): Promise<void> => {
        while (!over.signal.aborted) {
          hits += proxy.connections
          proxy.reset()
          await systemClock.sleep(everyMs, over.signal)
        }
      }
      const repeating = repeat()
      return {
        get hasStruck() {
          return hits > 0
        },
        async heal() {
          over.abort()
          await repeating
        },
      }
    },
  }
}
