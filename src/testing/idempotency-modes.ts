import { isWaybillError } from '../kernel/errors.ts'
import { Meeting } from './idempotency-meeting.ts'

/**
 * - `once`: the reference
 * - `once-again`: the same from the same state; what differs already here says nothing about repeats
 * - `twice`: one after another
 * - `together`: two transactions, both held before their commits until the other is there or waits for a lock
 * - `crash`: ended between the effects and the commit, then again
 * - `unsettled`: committed, the settlement lost with the process, then again
 */
export const idempotencyModes = ['once', 'once-again', 'twice', 'together', 'crash', 'unsettled'] as const

export type IdempotencyMode = (typeof idempotencyModes)[number]

/** One run of the handler with the message, in a transaction of its own. */
export interface IdempotencyAttempt {
  readonly mode: IdempotencyMode
  /** From 1 within the mode. Two attempts of `together` are under way at once. */
  readonly number: number
  /** Nothing that an earlier attempt left in memory may be there: a service would be another process. */
  readonly isNewProcess: boolean
  /**
   * To be called, and awaited, when the handler has ended and before its transaction commits. Where it rejects, the
   * transaction must not commit: end it as a crash would, and reject.
   */
  beforeCommit(): Promise<void>
}

/** What {@link IdempotencyAttempt.beforeCommit} rejects with where the attempt is to crash. */
export class SimulatedCrash extends Error {
  override readonly name: string = 'SimulatedCrash'
}

/** What an attempt rejects with where it could not be judged, however the handler is: the verdict is `unknown`. */
export class UnjudgedAttempt extends Error {
  override readonly name: string = 'UnjudgedAttempt'
}

export interface ModeParts {
  /** Resolves when the attempt's transaction has committed; rejects when it has rolled back. */
  run(attempt: IdempotencyAttempt): Promise<void>
  isBlocked?: ((attempt: number) => Promise<boolean>) | undefined
  readonly patienceMs: number
}

export interface ModeOutcome {
  /** The first attempt never came to an end that can be compared: nothing is known of repeats. */
  readonly broken?: unknown
  /** A repeat failed after the message had been handled: it would fail on every redelivery. */
  readonly repeatFailed?: unknown
  /** Of `together`: whether both stood before their commits at the same time. */
  readonly hasMet?: boolean
}

export async function playMode(mode: IdempotencyMode, parts: ModeParts): Promise<ModeOutcome> {
  switch (mode) {
    case 'once':
    case 'once-again':
      return { broken: await failureOf(parts, { mode, number: 1, isNewProcess: true }) }
    case 'twice':
      return await repeat(parts, mode, false)
    case 'unsettled':
      return await repeat(parts, mode, true)
    case 'crash':
      return await crash(parts)
    case 'together':
      return await together(parts)
  }
}

type AttemptData = Omit<IdempotencyAttempt, 'beforeCommit'>

async function repeat(parts: ModeParts, mode: IdempotencyMode, isNewProcess: boolean): Promise<ModeOutcome> {
  const broken = await failureOf(parts, { mode, number: 1, isNewProcess: true })
  if (broken !== undefined) return { broken }
  return judgeRepeat(await failureOf(parts, { mode, number: 2, isNewProcess }))
}

async function crash(parts: ModeParts): Promise<ModeOutcome> {
  let hasCrashed = false
  const failure = await failureOf(parts, { mode: 'crash', number: 1, isNewProcess: true }, () => {
    hasCrashed = true
    return Promise.reject(new SimulatedCrash('The attempt was to end before its commit.'))
  })
  if (!hasCrashed) {
    return { broken: failure ?? unasked() }
  }
  if (failure === undefined) {
    return { broken: new UnjudgedAttempt('the attempt committed although beforeCommit() had rejected') }
  }
  return judgeRepeat(await failureOf(parts, { mode: 'crash', number: 2, isNewProcess: true }))
}

function judgeRepeat(failure: unknown): ModeOutcome {
  return failure instanceof UnjudgedAttempt ? { broken: failure } : { repeatFailed: failure }
}

async function together(parts: ModeParts): Promise<ModeOutcome> {
  const meeting = new Meeting(parts)
  const participate = async (number: number): Promise<unknown> => {
    const attempt = { mode: 'together', number, isNewProcess: number === 1 } as const
    let hasAsked = false
    const ask = (): Promise<void> => {
      hasAsked = true
      return meeting.arrive(number)
    }
    try {
      const failure = await failureOf(parts, attempt, ask)
      return failure === undefined && !hasAsked ? unasked() : failure
    } finally {
      meeting.leave()
    }
  }
  const failures = await Promise.all([participate(1), participate(2)])
  const { hasMet } = meeting
  const failed = failures.filter((failure) => failure !== undefined)
  const unjudged = failed.find((failure) => failure instanceof UnjudgedAttempt)
  if (unjudged !== undefined) return { broken: unjudged, hasMet }
  // A transaction that met another one may fail; as the consumer does, it is tried again, alone.
  for (const [index] of failed.entries()) {
    const failure = await failureOf(parts, { mode: 'together', number: 3 + index, isNewProcess: false })
    if (failure === undefined) continue
    // Where both had failed nothing had been handled yet.
    if (failed.length === 2 && index === 0) return { broken: failure, hasMet }
    return { ...judgeRepeat(failure), hasMet }
  }
  return { hasMet }
}

function unasked(): UnjudgedAttempt {
  return new UnjudgedAttempt('the attempt committed without asking beforeCommit()')
}

async function failureOf(
  parts: ModeParts,
  data: AttemptData,
  beforeCommit: () => Promise<void> = () => Promise.resolve(),
): Promise<unknown> {
  try {
    await parts.run({ ...data, beforeCommit })
    return undefined
  } catch (error) {
    // The check itself was stopped: that is no failure of the handler's.
    if (isWaybillError(error) && error.code === 'WB_ABORTED') throw error
    return error ?? new Error('The attempt rejected without an error.')
  }
}
