import type { Proxy } from '../proxy.ts'
import type { ActiveFault, Fault } from './fault.ts'

/** Half of a reply arrives, then a reset; then of the next one, until it is healed. */
export function cutMidFrameFault(link: string, proxy: Proxy): Fault {
  return {
    name: `cut ${link}`,
    async inject(): Promise<ActiveFault> {
      let [cuts, isOver] = [0, false]
      const cut = (): void => {
        void proxy.cutMidFrame().then(() => {
          cuts += 1
          if (!isOver) cut()
        })
      }
      cut()
      return {
        get hasStruck() {
          return cuts > 0
        },
        async heal() {
          isOver = true
          await proxy.heal()
        },
      }
    },
  }
}
