import { readFileSync } from 'node:fs'
import { join } from 'node:path'

/** The last lines of a kept server's log, for the error that says it did not start. */
export function logTail(folder: string, lines = 15): string {
  try {
    return readFileSync(join(folder, 'log'), 'utf8').trimEnd().split('\n').slice(-lines).join('\n')
  } catch {
    return '(no log)'
  }
}
