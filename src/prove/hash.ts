import { createHash } from 'node:crypto'
import type { Load } from './tracks.ts'

/** Of what a message says, in the order it is said: what comes out must be what went in. */
export function hashOf({ key, seq, amount, canary }: Load): string {
  return createHash('sha256')
    .update(JSON.stringify([key, seq, amount, canary]))
    .digest('hex')
    .slice(0, 16)
}
