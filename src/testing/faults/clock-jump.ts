import { existsSync, globSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ownedFolder } from '../owned-folder.ts'
import type { ActiveFault, Fault } from './fault.ts'

/** A wall clock of one process that can be set; its monotonic clock goes on as it was. */
export interface FakeClock extends Disposable {
  /** For the environment of the process, at its start. */
  readonly env: Readonly<Record<string, string>>
  /** Whether this process goes by it: one that was started without is not reached by any jump. */
  isOf(pid: number): boolean
  jumpBy(seconds: number): void
}

const places = ['/usr/lib/*/faketime/libfaketime.so.1', '/usr/local/lib/faketime/libfaketime.so.1']

/** Debian's package `faketime`, or why there is none. */
export function findFaketime(): { readonly library: string | null; readonly hint: string } {
  const library = places.flatMap((place) => globSync(place)).find(existsSync) ?? null
  return { library, hint: library === null ? 'Debian package faketime' : '' }
}

export function fakeClock(library: string): FakeClock {
  const folder = ownedFolder('waybill-clock-')
  const file = join(folder.path, 'offset')
  const jumpBy = (seconds: number): void => {
    writeFileSync(file, `${seconds < 0 ? '-' : '+'}${Math.abs(seconds)}\n`)
  }
  jumpBy(0)
  return {
    env: {
      LD_PRELOAD: library,
      FAKETIME_TIMESTAMP_FILE: file,
      // Read at each call, so that a jump takes effect at once.
      FAKETIME_NO_CACHE: '1',
      // A machine's monotonic clock does not jump, and timers go by it.
      DONT_FAKE_MONOTONIC: '1',
    },
    isOf: (pid) => knows(pid, 'maps', library) && knows(pid, 'environ', file),
    jumpBy,
    [Symbol.dispose]: () => {
      folder[Symbol.dispose]()
    },
  }
}

/** What Linux tells of a process; nothing where it has ended. */
function knows(pid: number, file: 'maps' | 'environ', text: string): boolean {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'latin1').includes(text)
  } catch {
    return false
  }
}

/**
 * The wall clock of one process jumps, and jumps back when it is healed (F27). `pid` is asked for the process that runs now, so
 * that a jump which nobody felt has not struck.
 */
export function clockJumpFault(
  name: string,
  clock: FakeClock,
  seconds: number,
  pid: () => number | null,
): Fault {
  return {
    name: `clock ${seconds < 0 ? '-' : '+'}${Math.abs(seconds)}s ${name}`,
    async inject(): Promise<ActiveFault> {
      clock.jumpBy(seconds)
      const running = pid()
      return {
        hasStruck: running !== null && clock.isOf(running),
        async heal() {
          clock.jumpBy(0)
        },
      }
    },
  }
}
