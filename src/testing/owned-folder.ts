import { mkdtempSync, readdirSync, readlinkSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** One that goes with the process that made it. */
export interface OwnedFolder extends Disposable {
  readonly path: string
}

/**
 * A temporary folder of this process's own. It bears the process's id: what those left that were killed is taken away by whoever makes the
 * next one of that `prefix`. Ids are told apart by where they are valid, since containers may share the place.
 */
export function ownedFolder(prefix: string, parent: string = tmpdir()): OwnedFolder {
  const space = pidSpace()
  sweep(parent, prefix, space)
  const path = mkdtempSync(join(parent, `${prefix}${process.pid}-${space}-`))
  return {
    path,
    [Symbol.dispose]: () => {
      rmSync(path, { recursive: true, force: true })
    },
  }
}

function sweep(parent: string, prefix: string, space: string): void {
  const marks = new RegExp(`^(\\d+)-${space}-[^-]+$`, 'u')
  for (const name of readdirSync(parent)) {
    const pid = name.startsWith(prefix) ? marks.exec(name.slice(prefix.length))?.[1] : undefined
    if (pid === undefined || isAlive(Number(pid))) continue
    try {
      rmSync(join(parent, name), { recursive: true, force: true })
    } catch {
      // Another user's, whose next run takes it away.
    }
  }
}

/** Of Linux the number of the namespace of process ids; elsewhere there is one. */
function pidSpace(): string {
  try {
    return /\d+/u.exec(readlinkSync('/proc/self/ns/pid'))?.[0] ?? '0'
  } catch {
    return '0'
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}
