import { MindCore } from '../../src/relay/mind/core.ts'
import type { Invariant } from './broken.ts'
import type { Seams } from './relay.ts'
import type { Mutant } from './world.ts'

/** A flaw, and the invariants that tell it: which of them a schedule meets first is chance. */
export interface NamedMutant extends Mutant {
  readonly name: string
  readonly breaks: readonly Invariant[]
  /** Changes the mind's inside; returns what changes it back. */
  readonly patch?: () => () => void
  /** Of the search, where the usual one takes long to come to it. @default 7 */
  readonly seed?: number
  /** The first schedule of that seed that tells it: the search begins there, where it would take long to come to it. @default 0 */
  readonly from?: number
}

type Tap = ReturnType<NonNullable<Seams['tap']>>

export const lost: Invariant = 'every committed row is handed on'
export const stuck: Invariant = 'no key is closed and no partition stuck for ever'
export const order: Invariant = 'first occurrences of a key are in commit order'
export const twice: Invariant = 'nothing twice without a fault'
export const once: Invariant = 'exactly once: a message is in the log once'
export const early: Invariant = 'exactly once: a transaction begins when the rows of the last are deleted'
export const silent: Invariant = 'a blocked or parked key sends nothing'
export const beside: Invariant = 'a follower lies beside a parked head'
export const time: Invariant = 'nothing expires before its time, and nothing is sent after it'
export const zombie: Invariant = 'a zombie writes nothing, but deletes what it saw confirmed'
export const attempts: Invariant = 'attempts never exceed their limit'
export const others: Invariant = 'a failing message does not stop others'

export function tap(make: () => Tap): Pick<Mutant, 'seams'> {
  return { seams: { tap: make } }
}

export function patch(changed: Partial<MindCore>): () => () => void {
  return () => {
    const before = Object.fromEntries(
      Object.keys(changed).map((name) => [name, MindCore.prototype[name as keyof MindCore]]),
    )
    Object.assign(MindCore.prototype, changed)
    return () => void Object.assign(MindCore.prototype, before)
  }
}
