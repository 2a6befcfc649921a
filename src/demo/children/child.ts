/** What a child tells its parent: one JSON object a line on stdout. */
export interface ChildReport {
  readonly isReady?: true
  /** Copies kept from the handler since the last report. */
  readonly duplicatesSuppressed?: number
  /** Why something could not be written; for who reads what it said. */
  readonly refused?: { readonly code: string; readonly message: string }
}

/** Writes to a pipe are synchronous on POSIX: what was reported is not lost when the process is killed. */
export function report(message: ChildReport): void {
  process.stdout.write(`${JSON.stringify(message)}\n`)
}

/** Whether this line of a child says that it is at work. */
export function saysReady(line: string): boolean {
  return line.startsWith('{"isReady":true')
}

/** Aborts when the parent asks the child to end (SIGTERM). A child whose parent is gone ends at once. */
export function untilTold(): AbortSignal {
  const told = new AbortController()
  process.once('SIGTERM', () => {
    told.abort()
  })
  process.once('disconnect', () => process.exit(1))
  return told.signal
}
