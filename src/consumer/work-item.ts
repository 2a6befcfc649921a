import type { Envelope } from '../kernel/message.ts'

/** A message to be handled, and what the caller knows it by. */
export interface WorkItem<Ref> {
  readonly envelope: Envelope
  readonly ref: Ref
  /** Runs in a transaction of its own and is counted before it starts: it has failed before, or may have killed a process (O6). */
  readonly isAlone: boolean
}
