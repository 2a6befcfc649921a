import { describeError, WaybillError } from '../kernel/errors.ts'
import {
  compareStates,
  type CompareOptions,
  type State,
  type TableDifference,
} from './idempotency-difference.ts'
import {
  idempotencyModes,
  playMode,
  UnjudgedAttempt,
  type IdempotencyAttempt,
  type IdempotencyMode,
  type ModeOutcome,
} from './idempotency-modes.ts'

/**
 * `unknown`: the check could not tell: the handler failed already when it ran once, it changed nothing that is compared, two
 * single runs differ, …
 */
export type IdempotencyVerdict = 'idempotent' | 'not idempotent' | 'unknown'

export interface CheckIdempotencyOptions extends Omit<CompareOptions, 'before'> {
  /** Puts the state back to where every mode begins; called before each round of each mode. */
  readonly reset: () => Promise<void>
  /** Runs the handler once, in a transaction of its own: resolves when that has committed, rejects when it has rolled back. */
  readonly run: (attempt: IdempotencyAttempt) => Promise<void>
  /** What stands in each table now. */
  readonly snapshot: (mode: IdempotencyMode | 'before') => Promise<State>
  /** @default 2 */
  readonly togetherRounds?: number
  /** Whether the attempt of this number waits for a lock of the other; asked in `together` while the other waits for it. */
  readonly isBlocked?: (attempt: number) => Promise<boolean>
  /** How long an attempt of `together` waits before its commit for the other. @default 2000 */
  readonly patienceMs?: number
  /** An abort ends the check after the attempt that is under way, with `WB_ABORTED`. */
  readonly signal?: AbortSignal
}

export interface ModeReport {
  readonly mode: IdempotencyMode
  readonly rounds: number
  /** Rounds of `together` in which both stood before their commits at once; in the others one waited for the other's lock. */
  readonly met: number
  /** Of the first round that differs from the reference. */
  readonly differences: readonly TableDifference[]
  /** How the repeat failed, where it did. */
  readonly failure: string | null
}

export interface IdempotencyReport {
  readonly verdict: IdempotencyVerdict
  /** Why it is not `idempotent`, for people. */
  readonly reasons: readonly string[]
  /** It changed nothing that is compared: the verdict is `unknown` for that. */
  readonly isVacuous: boolean
  readonly modes: readonly ModeReport[]
}

/**
 * Runs a handler with one message in each of {@link idempotencyModes}, each time from the same state, and compares what stands
 * in the tables after it with what one single run left. A repeat that fails is a finding too: after a lost settlement the
 * message would fail on every redelivery.
 *
 * Finds a check without a constraint (`if not there, insert`) because both transactions of `together` have written before either
 * commits. It does not find what needs another order of statements than that, nor effects outside the tables.
 *
 * Throws `WB_ABORTED`, and what `reset` and `snapshot` throw.
 */
export async function checkIdempotency(options: CheckIdempotencyOptions): Promise<IdempotencyReport> {
  await options.reset()
  const before = await options.snapshot('before')
  const check = new Check({ ...options, before })
  const reference = await check.reference()
  if (reference === undefined) return check.report('unknown')
  // Also in columns that may differ: what changed only there was not nothing.
  if (compareStates(before, reference, { keys: options.keys }).length === 0) {
    return { ...check.report('unknown', nothingChanged), isVacuous: true }
  }
  for (const mode of idempotencyModes.slice(1)) {
    if (!(await check.compare(mode, reference))) break
  }
  return check.report()
}

const nothingChanged =
  'run once, the handler changed nothing in the tables that are compared: name the tables it writes, or give a message it acts on'

class Check {
  readonly #options: CheckIdempotencyOptions & CompareOptions
  readonly #modes: ModeReport[] = []
  readonly #unknown: string[] = []
  readonly #faults: string[] = []

  constructor(options: CheckIdempotencyOptions & CompareOptions) {
    this.#options = options
  }

  report(verdict?: IdempotencyVerdict, reason?: string): IdempotencyReport {
    const judged =
      verdict ??
      (this.#faults.length > 0 ? 'not idempotent' : this.#unknown.length > 0 ? 'unknown' : 'idempotent')
    const reasons = [...this.#faults, ...this.#unknown, ...(reason === undefined ? [] : [reason])]
    return { verdict: judged, reasons, isVacuous: false, modes: this.#modes }
  }

  async reference(): Promise<State | undefined> {
    const { broken } = await this.#play('once')
    if (broken !== undefined) {
      this.#unknown.push(`${phrases.once}${failureText(broken)}`)
      return undefined
    }
    const state = await this.#options.snapshot('once')
    this.#modes.push({ mode: 'once', rounds: 1, met: 0, differences: [], failure: null })
    return state
  }

  /** Plays a mode and notes what it shows; `false` where the modes after it could show nothing. */
  async compare(mode: IdempotencyMode, reference: State): Promise<boolean> {
    const rounds = mode === 'together' ? (this.#options.togetherRounds ?? 2) : 1
    let met = 0
    let isBroken = false
    let played = 0
    let differences: readonly TableDifference[] = []
    let failure: string | null = null
    while (played < rounds && differences.length === 0 && failure === null && !isBroken) {
      played += 1
      const outcome = await this.#play(mode)
      if (outcome.hasMet === true) met += 1
      if (outcome.repeatFailed !== undefined) failure = textOf(outcome.repeatFailed)
      if (outcome.broken === undefined) {
        differences = compareStates(reference, await this.#options.snapshot(mode), this.#options)
      } else {
        isBroken = true
        this.#unknown.push(`${phrases[mode]}${failureText(outcome.broken)}`)
      }
    }
    this.#modes.push({ mode, rounds: played, met, differences, failure })
    if (mode === 'once-again') return this.#judgeControl(differences) && !isBroken
    if (failure !== null) this.#faults.push(`${phrases[mode]}, the repeat failed: ${failure}`)
    if (differences.length > 0) {
      this.#faults.push(`${phrases[mode]}, it left something else than run once: ${tablesOf(differences)}`)
    }
    return true
  }

  #judgeControl(differences: readonly TableDifference[]): boolean {
    if (differences.length === 0) return true
    const columns = differences.flatMap(({ table, first }) =>
      first.columns.map((column) => `${table}.${column}`),
    )
    const advice =
      columns.length > 0
        ? `ignore what differs by itself (${columns.join(', ')})`
        : 'find out what differs by itself'
    this.#unknown.push(
      `two single runs from the same state differ: ${tablesOf(differences)}; ${advice}, then check again`,
    )
    return false
  }

  async #play(mode: IdempotencyMode): Promise<ModeOutcome> {
    const { reset, run, isBlocked, patienceMs = 2000, signal } = this.#options
    if (signal?.aborted === true)
      throw new WaybillError('WB_ABORTED', 'The check was stopped before its end.')
    await reset()
    return await playMode(mode, { run, isBlocked, patienceMs })
  }
}

const phrases: Readonly<Record<IdempotencyMode, string>> = {
  once: 'run once',
  'once-again': 'run once again from the same state',
  twice: 'run twice',
  together: 'run twice at the same time',
  crash: 'run again after a crash before its commit',
  unsettled: 'run again in a new process after a lost settlement',
}

function tablesOf(differences: readonly TableDifference[]): string {
  return differences.map(({ table }) => table).join(', ')
}

function failureText(error: unknown): string {
  return error instanceof UnjudgedAttempt ? `: ${error.message}` : `, the handler failed: ${textOf(error)}`
}

function textOf(error: unknown): string {
  const { code, message } = describeError(error, 1000)
  return error instanceof Error && code === error.name ? message : `${message} (${code})`
}
