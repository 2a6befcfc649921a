import { chmodSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished, vi } from 'vitest'

/** A folder for the data of every server the running test starts: what is in it afterwards was left behind. */
export function serverFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'waybill-scene-'))
  // Servers of root run as another user.
  chmodSync(folder, 0o777)
  vi.stubEnv('TMPDIR', folder)
  onTestFinished(() => {
    vi.unstubAllEnvs()
    rmSync(folder, { recursive: true, force: true })
  })
  return folder
}

/** Whether SIGSTOP has reached the process, by proc(5). */
export function isStopped(pid: number): boolean {
  const line = readFileSync(`/proc/${pid}/stat`, 'latin1')
  return line.slice(line.lastIndexOf(')') + 2).startsWith('T')
}
