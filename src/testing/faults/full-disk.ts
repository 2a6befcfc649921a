import type { SmallDisk } from '../small-disk.ts'
import type { ActiveFault, Fault } from './fault.ts'

export interface FullDiskTarget {
  /** Whether it has borne the fault so far: PostgreSQL ends where its log finds no room. */
  isRunning(): boolean
  restart(): Promise<unknown>
}

/** The disk of a server is full; when it is healed there is room again, and a server that ended is started (F20). */
export function fullDiskFault(name: string, disk: SmallDisk, server: FullDiskTarget): Fault {
  return {
    name: `disk full ${name}`,
    async inject(): Promise<ActiveFault> {
      const taken = disk.fill()
      return {
        hasStruck: taken > 0,
        async heal() {
          disk.free()
          if (!server.isRunning()) await server.restart()
        },
      }
    },
  }
}
