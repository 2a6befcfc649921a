import type { Clock, Random } from '../kernel/clock.ts'
import { Deadlines } from '../kernel/deadlines.ts'
import { isWaybillError } from '../kernel/errors.ts'
import { failpoint } from '../kernel/failpoint.ts'
import { backoffMs, type Backoff } from '../kernel/retry.ts'
import type { OpenTransaction, TransactionRunner } from '../ports/transaction-runner.ts'
import type { Admission } from './admission.ts'
import { callHandler, callsOf, type Call, type Ready } from './call-handler.ts'
import { failureKind, type FailureKind, type Phase } from './failure.ts'
import { CheckpointMovedError } from './stream-checkpoints.ts'
import { duplicate, handled, type Outcome } from './outcome.ts'

export interface TransactionParts<Ref> {
  readonly consumer: string
  readonly transactions: TransactionRunner
  /** `undefined`: every message is run. */
  readonly admission: Admission<Ref> | undefined
  readonly handlerTimeoutMs: number
  /** The server ends a transaction that stood idle so long; above `handlerTimeoutMs`, or it ends those of slow handlers. */
  readonly idleTimeoutMs: number
  readonly clock: Clock
  readonly random: Random
}

/** Where a transaction stands in a row of them, each sent behind the COMMIT of the one before. */
export interface Place {
  /** Begins it behind the one before; where there is none, or in a further try, it begins for itself. */
  readonly behind?: TransactionRunner
  /** Its admission has been sent, and another may follow it: what that takes can be done while the server is at work. */
  readonly onAdmitting?: () => void
  /** See {@link RunOptions.onCommitSent}. */
  readonly onCommitSent?: (behind: TransactionRunner) => void
}

export type TransactionResult =
  | { readonly kind: 'committed'; readonly outcomes: readonly Outcome[] }
  /** `reassigned`: nothing is known of it here, and its stream comes anew (transforms only). */
  /** `passed-over`: the one before it in its row was not committed, so nothing of this one was run. */
  | {
      readonly kind: FailureKind | 'stale' | 'reassigned' | 'passed-over'
      readonly error: unknown
      /**
       * No handler can be why: none had begun, or they were told to stop; of a transform, whose handlers ask nothing of what commits, also
       * where all had ended well. In a transaction of the store's one that had may have left a statement that ends its session.
       */
      readonly isBlameless?: boolean
    }

/** Conflicts in a row after which a batch is redone one by one, and a message that runs alone counts as failed. */
const conflictLimit = 5
const conflictBackoff: Backoff = { initialMs: 10, maxMs: 500 }

/**
 * Runs messages in one transaction, and again where it met a conflict. So too where the answer to COMMIT was lost and there
 * is an admission: that waits for the end of the lost transaction and then tells what it had done.
 */
export async function runTogether<Ref>(
  parts: TransactionParts<Ref>,
  ready: readonly Ready<Ref>[],
  attempt: number,
  stop: AbortSignal,
  place: Place = {},
): Promise<TransactionResult> {
  for (let failures = 1, at = place; ; failures++) {
    const result = await runOnce(parts, ready, attempt, stop, at)
    const { behind: _, ...alone } = place
    at = alone
    const isDecidable = result.kind === 'commit-unknown' && parts.admission !== undefined
    if (result.kind === 'moved') {
      const found = await lookAgain(parts.admission, result.error)
      if (found !== undefined) return found
    } else if (result.kind !== 'conflict' && !isDecidable) {
      return result
    }
    if (failures >= conflictLimit || stop.aborted) return result
    await parts.clock.sleep(backoffMs(failures, conflictBackoff, parts.random), stop)
  }
}

/** One transaction, whatever becomes of it. */
export async function runOnce<Ref>(
  parts: TransactionParts<Ref>,
  ready: readonly Ready<Ref>[],
  attempt: number,
  stop: AbortSignal,
  { behind = parts.transactions, onAdmitting, onCommitSent }: Place = {},
): Promise<TransactionResult> {
  const items = ready.map(({ item }) => item)
  const late = new AbortController()
  const signal = AbortSignal.any([stop, late.signal])
  const at: { phase: Phase; thrown: unknown; before: Promise<void> | undefined } = {
    phase: 'admit',
    thrown: undefined,
    before: undefined,
  }
  let outcomes: readonly Outcome[]

  const work = async (transaction: OpenTransaction): Promise<readonly Outcome[]> => {
    const { handle, executor, predecessor, canBeFollowed } = transaction
    at.before = predecessor
    const admitting = parts.admission?.admit(executor, items)
    if (canBeFollowed === true) onAdmitting?.()
    const toRun = await admitting
    // No handler before that: it may have failed, and then what is of one key with its messages has to wait for them.
    await predecessor
    failpoint('consumer.after-admit')
    at.phase = 'handler'
    const fresh = firstOfEach(ready, toRun)
    try {
      await callEach(parts, fresh, { tx: handle, attempt }, stop, late)
      if (fresh.length > 0) await parts.admission?.confirm?.()
    } catch (error) {
      at.thrown = error
      throw error
    }
    at.phase = 'commit'
    failpoint('consumer.before-commit')
    if (fresh.length === ready.length) return ready.map(() => handled)
    const ran = new Set(fresh)
    return ready.map((one) => (ran.has(one) ? handled : duplicate))
  }

  try {
    const options = { idleTimeoutMs: idleTimeoutOf(parts, ready), signal }
    outcomes = await behind.run(onCommitSent === undefined ? options : { ...options, onCommitSent }, work)
  } catch (error) {
    // Whatever came of its own admission: it may have been lost with the connection of the one before.
    if (at.phase === 'admit' && (await hasFailed(at.before))) return { kind: 'passed-over', error }
    // A runner that reports something else than what the handler threw knows better: its connection was lost under it.
    const phase = at.phase === 'handler' && error !== at.thrown ? 'commit' : at.phase
    const kind = failureKind(error, phase)
    // Whatever a handler throws when it is told to stop is no failure of its message.
    const isBlameless = stop.aborted || at.phase === 'admit'
    return { kind: stop.aborted && kind !== 'commit-unknown' ? 'unavailable' : kind, error, isBlameless }
  }
  parts.admission?.committed?.(items)
  failpoint('consumer.after-commit')
  return { kind: 'committed', outcomes }
}

/** The handlers of one transaction, one after another, each with its deadline. Aborts `late` where one is past it. */
export async function callEach<Ref>(
  parts: Pick<TransactionParts<Ref>, 'consumer' | 'handlerTimeoutMs'>,
  ready: readonly Ready<Ref>[],
  { tx, attempt }: Pick<Call, 'tx' | 'attempt'>,
  stop: AbortSignal,
  late: AbortController = new AbortController(),
): Promise<void> {
  const call = { consumer: parts.consumer, tx, signal: AbortSignal.any([stop, late.signal]), attempt }
  const deadlines = new Deadlines(stop)
  try {
    for (const together of callsOf(ready)) {
      const limitMs = timeoutOf(parts, together[0]!)
      const called = deadlines.run(
        () => callHandler(together, call),
        limitMs,
        () => nameOf(together),
      )
      // Not every call has something to wait for.
      if (called !== undefined) await called
      failpoint('consumer.after-handler')
    }
  } catch (error) {
    // A handler past its time may still use the client. The signal tells it to end, and tells the runner to end the
    // connection instead of handing it to the next transaction, where those statements would then be committed.
    if (isWaybillError(error) && error.code === 'WB_TIMED_OUT') late.abort(error)
    throw error
  } finally {
    deadlines.end()
  }
}

async function hasFailed(before: Promise<void> | undefined): Promise<boolean> {
  if (before === undefined) return false
  return await before.then(
    () => false,
    () => true,
  )
}

/** `undefined`: the admission has learned where its checkpoint is, and the batch is to be tried again. */
async function lookAgain<Ref>(
  admission: Admission<Ref> | undefined,
  error: unknown,
): Promise<TransactionResult | undefined> {
  try {
    const stream = error instanceof CheckpointMovedError ? error.stream : ''
    return (await admission?.lookAgain?.(stream)) === true
      ? undefined
      : { kind: 'stale', error, isBlameless: true }
  } catch (storeError) {
    return { kind: 'unavailable', error: storeError, isBlameless: true }
  }
}

/** Those to be run: each id once, though two copies may have come together. */
function firstOfEach<Ref>(
  ready: readonly Ready<Ref>[],
  toRun: ReadonlySet<string> | undefined,
): readonly Ready<Ref>[] {
  // As many as there are: then no two are the same, and all of them are to be run.
  if (toRun === undefined || toRun.size === ready.length) return ready
  const byId = new Map<string, Ready<Ref>>()
  for (const one of ready) {
    const { id } = one.item.envelope
    if (toRun.has(id) && !byId.has(id)) byId.set(id, one)
  }
  return [...byId.values()]
}

function timeoutOf<Ref>(
  parts: Pick<TransactionParts<Ref>, 'handlerTimeoutMs'>,
  { entry }: Ready<Ref>,
): number {
  return entry.timeoutMs ?? parts.handlerTimeoutMs
}

/** The transaction stands idle while a handler that has longer than the others waits for something else. */
function idleTimeoutOf<Ref>(parts: TransactionParts<Ref>, ready: readonly Ready<Ref>[]): number {
  const longest = Math.max(...ready.map((one) => timeoutOf(parts, one)))
  return parts.idleTimeoutMs + Math.max(0, longest - parts.handlerTimeoutMs)
}

function nameOf<Ref>(together: readonly Ready<Ref>[]): string {
  const [first, ...rest] = together
  const { item, entry } = first!
  const more = rest.length === 0 ? '' : ` and ${rest.length} more`
  return `the handler of message ${item.envelope.id}${more} on channel "${entry.channel.name}"`
}
