import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, statfsSync } from 'node:fs'
import { join } from 'node:path'

const gib = 2 ** 30
/** What a whole run takes at most is a little more than one. */
const needed = { free: 3 * gib, available: 6 * gib }
/** Of tmpfs, in statfs(2). */
const tmpfs = 0x01021994

export interface MemoryFolder extends Disposable {
  readonly path: string
}

export interface MemoryFolderOptions {
  readonly parent?: string
  /** Where it is told how everything is mounted. */
  readonly mounts?: string
  /** @default a tmpfs with what a whole run takes, and as much again */
  readonly isRoomy?: (parent: string) => boolean
}

/**
 * A folder in memory for everything that tests and their servers write, or `undefined` where the machine has none to spare. The files
 * live for seconds, and there are a million of them: ext4 without a journal looks at all that were deleted in the last minutes
 * before it makes one, which took a fifth of a run's time. Servers are killed there, and nobody pulls the plug.
 */
export function memoryFolder({
  parent = '/dev/shm',
  mounts = '/proc/mounts',
  isRoomy = hasRoom,
}: MemoryFolderOptions = {}): MemoryFolder | undefined {
  if (!isRoomy(parent) || !runsPrograms(parent, mounts)) return undefined
  sweep(parent)
  const path = mkdtempSync(join(parent, `${prefix}${process.pid}-`))
  // As any user: PostgreSQL does not run as root.
  chmodSync(path, 0o1777)
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true, maxRetries: 3 }) }
}

const prefix = 'waybill-tests-'

function hasRoom(parent: string): boolean {
  try {
    const { type, bavail, bsize } = statfsSync(parent)
    return type === tmpfs && bavail * bsize >= needed.free && process.availableMemory() >= needed.available
  } catch {
    return false
  }
}

/** Containers mount theirs so that nothing in it is run, and some tests copy a server's binaries. */
function runsPrograms(parent: string, mounts: string): boolean {
  const options = readFileSync(mounts, 'utf8')
    .split('\n')
    .map((line) => line.split(' '))
    .find(([, place]) => place === parent)?.[3]
  return options !== undefined && !options.split(',').includes('noexec')
}

/** What runs left that were killed would take memory until the machine starts anew. */
function sweep(parent: string): void {
  for (const name of readdirSync(parent)) {
    const pid = new RegExp(`^${prefix}(\\d+)-`, 'u').exec(name)?.[1]
    if (pid === undefined || isAlive(Number(pid))) continue
    try {
      rmSync(join(parent, name), { recursive: true, force: true })
    } catch {
      // Another user's, whose next run takes it away.
    }
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
