import type { Clock, Random } from '../kernel/clock.ts'
import { withDeadline } from '../kernel/deadline.ts'
import { isWaybillError } from '../kernel/errors.ts'
import { failpoint } from '../kernel/failpoint.ts'
import { idempotencyKey } from '../kernel/ids.ts'
import type { Message } from '../kernel/message.ts'
import { backoffMs, type Backoff } from '../kernel/retry.ts'
import type { OpenTransaction, TransactionRunner } from '../ports/transaction-runner.ts'
import type { Admission } from './admission.ts'
import { decode } from './decode.ts'
import { failureKind, type FailureKind, type Phase } from './failure.ts'
import type { HandlerEntry } from './handler.ts'
import { CheckpointMovedError } from './stream-checkpoints.ts'
import type { WorkItem } from './work-item.ts'
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

/** A message that can be run: it has a handler, and its payload could be decoded. */
export interface Ready<Ref> {
  readonly index: number
  readonly item: WorkItem<Ref>
  readonly entry: HandlerEntry
  /** Spent by the first run: a handler may change what it is given, so a second run decodes anew. */
  message: Message | undefined
}

export type TransactionResult =
  | { readonly kind: 'committed'; readonly outcomes: readonly Outcome[] }
  | { readonly kind: FailureKind | 'stale'; readonly error: unknown }

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
): Promise<TransactionResult> {
  for (let failures = 1; ; failures++) {
    const result = await runOnce(parts, ready, attempt, stop)
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
): Promise<TransactionResult> {
  const late = new AbortController()
  const signal = AbortSignal.any([stop, late.signal])
  const at: { phase: Phase; thrown: unknown } = { phase: 'admit', thrown: undefined }
  let outcomes: readonly Outcome[]

  const work = async ({ handle, executor }: OpenTransaction): Promise<readonly Outcome[]> => {
    const toRun = await parts.admission?.admit(
      executor,
      ready.map(({ item }) => item),
    )
    failpoint('consumer.after-admit')
    at.phase = 'handler'
    const done: Outcome[] = []
    const ran = new Set<string>()
    for (const one of ready) {
      const { id } = one.item.envelope
      if (toRun !== undefined && (!toRun.has(id) || ran.has(id))) {
        done.push(duplicate)
        continue
      }
      ran.add(id)
      const what = `the handler of message ${id} on channel "${one.entry.channel.name}"`
      try {
        const call = callHandler(parts.consumer, one, handle, signal, attempt)
        await withDeadline(call, parts.handlerTimeoutMs, what, stop)
      } catch (error) {
        // A handler past its time may still use the client. The signal tells it to end, and tells the runner to end the
        // connection instead of handing it to the next transaction, where those statements would then be committed.
        if (isWaybillError(error) && error.code === 'WB_TIMED_OUT') late.abort(error)
        at.thrown = error
        throw error
      }
      failpoint('consumer.after-handler')
      done.push(handled)
    }
    at.phase = 'commit'
    failpoint('consumer.before-commit')
    return done
  }

  try {
    outcomes = await parts.transactions.run({ idleTimeoutMs: parts.idleTimeoutMs, signal }, work)
  } catch (error) {
    // A runner that reports something else than what the handler threw knows better: its connection was lost under it.
    const phase = at.phase === 'handler' && error !== at.thrown ? 'commit' : at.phase
    const kind = failureKind(error, phase)
    // Whatever a handler throws when it is told to stop is no failure of its message.
    return { kind: stop.aborted && kind !== 'commit-unknown' ? 'unavailable' : kind, error }
  }
  parts.admission?.committed?.(ready.map(({ item }) => item))
  failpoint('consumer.after-commit')
  return { kind: 'committed', outcomes }
}

/** `undefined`: the admission has learned where its checkpoint is, and the batch is to be tried again. */
async function lookAgain<Ref>(
  admission: Admission<Ref> | undefined,
  error: unknown,
): Promise<TransactionResult | undefined> {
  try {
    const stream = error instanceof CheckpointMovedError ? error.stream : ''
    return (await admission?.lookAgain?.(stream)) === true ? undefined : { kind: 'stale', error }
  } catch (storeError) {
    return { kind: 'unavailable', error: storeError }
  }
}

async function callHandler<Ref>(
  consumer: string,
  one: Ready<Ref>,
  tx: unknown,
  signal: AbortSignal,
  attempt: number,
): Promise<void> {
  const message = one.message ?? (await decode(one.item.envelope, one.entry.channel))
  one.message = undefined
  await one.entry.handle(message, {
    tx,
    signal,
    attempt,
    // Made when it is asked for: most handlers need none.
    get idempotencyKey() {
      return idempotencyKey(consumer, message.id)
    },
  })
}
