import { once } from 'node:events'

/** The line by which a child says that it is at work. */
export const readyLine = '{"isReady":true}'

/** Writes to a pipe are synchronous on POSIX. */
export function reportReady(): void {
  process.stdout.write(`${readyLine}\n`)
}

/** Resolves when the parent asks the child to end (SIGTERM). A child whose parent is gone ends at once. */
export async function untilTold(): Promise<void> {
  process.once('disconnect', () => process.exit(1))
  await once(process, 'SIGTERM')
}
