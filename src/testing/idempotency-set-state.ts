import { describeError } from '../kernel/errors.ts'
import {
  compareStates,
  type CompareOptions,
  type State,
  type TableDifference,
} from './idempotency-difference.ts'
import type { IdempotencyVerdict } from './idempotency.ts'

/** Two messages about one thing; the newer one was published after the older. */
export type SetStateMessage = 'older' | 'newer'

export interface CheckSetStateOptions extends Omit<CompareOptions, 'before'> {
  /** Puts the state back to where every sequence begins. */
  readonly reset: () => Promise<void>
  /** Runs the handler with one of the two messages, each time with the same id, in a transaction of its own. */
  readonly run: (message: SetStateMessage) => Promise<void>
  readonly snapshot: () => Promise<State>
  /**
   * Whether the handler compares a version of its message with the one it has stored, so that an older message which comes after
   * a newer one must not undo it. `false`: only repeats of the last message are checked.
   * @default true
   */
  readonly claimsVersion?: boolean
}

export interface SetStateReport {
  readonly verdict: IdempotencyVerdict
  readonly reasons: readonly string[]
  readonly sequences: readonly {
    readonly messages: readonly SetStateMessage[]
    readonly differences: readonly TableDifference[]
    readonly failure: string | null
  }[]
}

const repeats = [
  ['older', 'older', 'newer'],
  ['older', 'newer', 'newer'],
] as const
/** The older one comes again after a lost settlement, or for the first time after a retry. */
const overtaken = [
  ['older', 'newer', 'older'],
  ['newer', 'older'],
] as const

/**
 * Checks a handler that sets a state ("set X"): whatever comes again and, where it claims a version, however late, the tables must
 * stand as after the older message and then the newer one.
 */
export async function checkSetState(options: CheckSetStateOptions): Promise<SetStateReport> {
  const { reset, snapshot, claimsVersion = true } = options
  await reset()
  const before = await snapshot()
  const older = await play(options, ['older'])
  const reference = await play(options, ['older', 'newer'])
  const failure = older.failure ?? reference.failure
  if (failure !== null) return unknown(`run in order, the handler failed: ${failure}`)
  const compare = (a: State, b: State): readonly TableDifference[] =>
    compareStates(a, b, { ...options, before })
  if (compare(before, older.state).length === 0)
    return unknown('the older message changed nothing that is compared')
  // Else the older one could not undo anything.
  if (compare(older.state, reference.state).length === 0) {
    return unknown(
      'after the newer message everything stands as after the older one: let them set different values',
    )
  }
  const sequences: SetStateReport['sequences'][number][] = []
  for (const messages of [...repeats, ...(claimsVersion ? overtaken : [])]) {
    const played = await play(options, messages)
    sequences.push({ messages, differences: compare(reference.state, played.state), failure: played.failure })
  }
  const reasons = sequences.flatMap(({ messages, differences, failure: failed }) => [
    ...(failed === null ? [] : [`run as ${messages.join(', ')}, the handler failed: ${failed}`]),
    ...(differences.length === 0
      ? []
      : [
          `run as ${messages.join(', ')}, it left something else than run as older, newer: ` +
            differences.map(({ table }) => table).join(', '),
        ]),
  ])
  return { verdict: reasons.length === 0 ? 'idempotent' : 'not idempotent', reasons, sequences }
}

async function play(
  { reset, run, snapshot }: CheckSetStateOptions,
  messages: readonly SetStateMessage[],
): Promise<{ readonly state: State; readonly failure: string | null }> {
  await reset()
  let failure: string | null = null
  for (const message of messages) {
    try {
      await run(message)
    } catch (error) {
      // A handler that throws at what it has seen, or at what is too old, throws on every redelivery.
      failure ??= describeError(error).message
    }
  }
  return { state: await snapshot(), failure }
}

function unknown(reason: string): SetStateReport {
  return { verdict: 'unknown', reasons: [reason], sequences: [] }
}
