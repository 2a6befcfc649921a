import { spawn, spawnSync } from 'node:child_process'
import { closeSync, mkdtempSync, openSync, rmSync, statfsSync, writeSync } from 'node:fs'
import type { Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { WaybillError } from '../kernel/errors.ts'

/** A disk of its own, in memory, small enough to be filled. */
export interface SmallDisk extends Disposable {
  readonly folder: string
  /** Takes all the room that is left. Resolves to the bytes it took. */
  fill(): number
  /** Gives it back. */
  free(): void
}

// It holds the mount while its pipe is open: SIGKILL of this process runs no handler, but the kernel closes its end.
const script = `
trap '' HUP INT TERM PIPE
mount -t tmpfs -o "size=$2m,mode=1777" waybill "$1" || exit 1
echo mounted
read -r word
umount -l "$1"
rmdir "$1"
`

/** Whether this machine lets this process mount a disk in memory, and if not, what it would take. */
export function findSmallDisk(): { readonly isAllowed: boolean; readonly hint: string } {
  // In a mount namespace of its own, which ends with it: nothing is left behind.
  const probe = 'mount -t tmpfs -o size=1m waybill /mnt'
  const { status } = spawnSync('unshare', ['-m', '/bin/sh', '-c', probe], { stdio: 'ignore' })
  const isAllowed = status === 0
  return { isAllowed, hint: isAllowed ? '' : 'Mounting a disk in memory needs Linux and root.' }
}

/**
 * Mounts a tmpfs of that many megabytes; it goes with this process, however this one ends. Linux, as root. Throws
 * `WB_PEER_MISSING` where it may not.
 */
export async function smallDisk(megabytes: number): Promise<SmallDisk> {
  const folder = mkdtempSync(join(tmpdir(), 'waybill-disk-'))
  const shell = spawn('/bin/sh', ['-c', script, 'disk', folder, String(megabytes)], {
    cwd: '/',
    stdio: ['pipe', 'pipe', 'ignore'],
    detached: true,
  })
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const refused = (): void => {
    rmSync(folder, { recursive: true, force: true })
    reject(new WaybillError('WB_PEER_MISSING', `This machine mounts no disk. ${findSmallDisk().hint}`))
  }
  shell.stdout.once('data', () => resolve())
  shell.once('error', refused)
  shell.once('close', refused)
  await promise
  shell.unref()
  for (const pipe of [shell.stdin, shell.stdout]) (pipe as Socket).unref()
  const ballast = join(folder, 'ballast')
  const free = (): void => rmSync(ballast, { force: true })
  return {
    folder,
    fill: () => fill(ballast),
    free,
    [Symbol.dispose]: () => {
      shell.stdin.end()
    },
  }
}

function fill(file: string): number {
  const handle = openSync(file, 'a')
  let bytes = 0
  try {
    // The last step is a page: a byte more than is free is refused whole, and would leave room.
    for (let step = 1 << 20; step >= 4096;) {
      const { bavail, bsize } = statfsSync(file)
      if (bavail === 0) break
      try {
        bytes += writeSync(handle, Buffer.alloc(Math.min(step, bavail * bsize)))
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error
        step >>= 1
      }
    }
  } finally {
    closeSync(handle)
  }
  return bytes
}
