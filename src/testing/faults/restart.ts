import type { Fault } from './fault.ts'

export interface Restartable {
  /** Asks it to end in order; resolves when it is gone. */
  shutDown(): Promise<unknown>
  /** Starts it again on what it left; resolves when it works. */
  restart(): Promise<unknown>
}

/** A process or a server ends in order, as in a deployment, and is started again when it is healed (F16). */
export function restartFault(name: string, target: Restartable): Fault {
  return {
    name: `restart ${name}`,
    async inject() {
      await target.shutDown()
      return {
        hasStruck: true,
        async heal() {
          await target.restart()
        },
      }
    },
  }
}
