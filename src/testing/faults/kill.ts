import type { Fault } from './fault.ts'

export interface Killable {
  /** SIGKILL; resolves when it is gone. */
  kill(): Promise<unknown>
  /** Starts it again on what it left; resolves when it works. */
  restart(): Promise<unknown>
}

/** SIGKILL of a process or a server, which is started again when it is healed. */
export function killFault(name: string, target: Killable): Fault {
  return {
    name: `kill ${name}`,
    async inject() {
      await target.kill()
      return {
        hasStruck: true,
        async heal() {
          await target.restart()
        },
      }
    },
  }
}
