import type { Clock, Random } from '../kernel/clock.ts'
import { withDeadline } from '../kernel/deadline.ts'
import { describeError, isWaybillError, PublishOutcomeUnknownError, WaybillError } from '../kernel/errors.ts'
import { backoffMs, type Backoff } from '../kernel/retry.ts'
import type { Fate, OutboundMessage, Publisher } from '../ports/transport.ts'
import type { Outlet, SendLimits } from './send.ts'

export interface ConfirmOutletOptions {
  readonly open: () => Promise<Publisher>
  /** One try of a message. */
  readonly timeoutMs: number
  readonly retry: Backoff
  /** Messages in one call of the publisher, at most. */
  readonly batchSize: number
  /** See `TransportCapabilities.ordersBatch`. */
  readonly ordersBatch: boolean
  /** Whether messages of this channel are kept in order by their key. */
  readonly isOrdered: (channel: string) => boolean
  readonly clock: Clock
  readonly random: Random
}

type Rejected = Extract<Fate, { outcome: 'rejected' }>

interface Entry {
  readonly message: OutboundMessage
  /** `null` once it is settled. */
  settle: ((error: Error | null) => void) | null
  /** With the publisher now: whatever was said of it before, it may arrive. */
  isUnderway: boolean
  /** A try of it ended without an answer: it may be there. */
  doubt: string | undefined
  /** Why it is not there, as the last definite answer had it. */
  refusal: string | undefined
}

/** Messages of one key in order, or one message without a key. */
interface Line {
  readonly key: string | null
  entries: Entry[]
  isBusy: boolean
  failures: number
  notBefore: number
}

/**
 * At least once: a message is sent until it is confirmed, with the same id, or its deadline passes. What waits goes
 * together; a key has one call under way, and what failed of it is sent again before its later messages.
 */
export class ConfirmOutlet implements Outlet {
  readonly #options: ConfirmOutletOptions
  readonly #keyed = new Map<string, Line>()
  readonly #lines = new Set<Line>()
  #isScheduled = false
  #wake: AbortController | undefined

  constructor(options: ConfirmOutletOptions) {
    this.#options = options
  }

  async send(messages: readonly OutboundMessage[], { deadlineMs, signal }: SendLimits): Promise<void> {
    const entries = messages.map((message): Entry => ({
      message,
      settle: null,
      isUnderway: false,
      doubt: undefined,
      refusal: undefined,
    }))
    const done = entries.map(
      (entry) =>
        new Promise<void>((resolve, reject) => {
          entry.settle = (error) => {
            entry.settle = null
            if (error === null) resolve()
            else reject(error)
          }
        }),
    )
    const ended = new AbortController()
    const limit = signal === undefined ? ended.signal : AbortSignal.any([ended.signal, signal])
    void this.#options.clock.sleep(deadlineMs, limit).then(() => {
      const code = signal?.aborted === true ? 'WB_ABORTED' : 'WB_TIMED_OUT'
      if (!ended.signal.aborted) for (const entry of entries) expire(entry, code)
    })
    for (const entry of entries) this.#enter(entry)
    this.#schedule()
    try {
      await Promise.all(done)
    } finally {
      ended.abort()
      // Of several that fail the first is thrown; the others' rejections are known with it.
      for (const each of done) each.catch(() => {})
    }
  }

  giveUp(): void {
    for (const { entries } of this.#lines) for (const entry of entries) expire(entry, 'WB_NOT_RUNNING')
  }

  #enter(entry: Entry): void {
    const { envelope, address } = entry.message
    const isKeyed = envelope.key !== null && this.#options.isOrdered(envelope.channel)
    const key = isKeyed ? `${address}\0${envelope.key}` : null
    let line = key === null ? undefined : this.#keyed.get(key)
    if (line === undefined) {
      line = { key, entries: [], isBusy: false, failures: 0, notBefore: 0 }
      this.#lines.add(line)
      if (key !== null) this.#keyed.set(key, line)
    }
    line.entries.push(entry)
  }

  #schedule(): void {
    if (this.#isScheduled) return
    this.#isScheduled = true
    // Later in this turn: calls that are made one after another without awaiting travel together.
    queueMicrotask(() => {
      this.#isScheduled = false
      this.#flush()
    })
  }

  #flush(): void {
    const { batchSize, ordersBatch, clock } = this.#options
    const now = clock.now()
    this.#wake?.abort()
    this.#wake = undefined
    let next = Infinity
    for (;;) {
      const taken: { readonly line: Line; readonly entries: readonly Entry[] }[] = []
      let count = 0
      for (const line of this.#lines) {
        if (line.isBusy || count >= batchSize) continue
        line.entries = line.entries.filter((entry) => entry.settle !== null)
        if (line.entries.length === 0) {
          this.#forget(line)
          continue
        }
        if (line.notBefore > now) {
          next = Math.min(next, line.notBefore)
          continue
        }
        const entries = line.entries.slice(0, ordersBatch ? batchSize - count : 1)
        line.isBusy = true
        for (const entry of entries) entry.isUnderway = true
        count += entries.length
        taken.push({ line, entries })
      }
      if (taken.length === 0) break
      void this.#fly(taken)
    }
    if (next === Infinity) return
    const wake = (this.#wake = new AbortController())
    void clock.sleep(next - now, wake.signal).then(() => {
      if (!wake.signal.aborted) this.#schedule()
    })
  }

  async #fly(taken: readonly { readonly line: Line; readonly entries: readonly Entry[] }[]): Promise<void> {
    const { open, timeoutMs, clock, retry, random } = this.#options
    const batch = taken.flatMap(({ entries }) => entries.map(({ message }) => message))
    const fates = await publish(open, batch, timeoutMs)
    let at = 0
    for (const { line, entries } of taken) {
      let isFailing = false
      for (const entry of entries) if (!judge(entry, fates[at++] ?? silence)) isFailing = true
      line.isBusy = false
      line.failures = isFailing ? line.failures + 1 : 0
      line.notBefore = isFailing ? clock.now() + backoffMs(line.failures, retry, random) : 0
    }
    this.#schedule()
  }

  #forget(line: Line): void {
    this.#lines.delete(line)
    if (line.key !== null) this.#keyed.delete(line.key)
  }
}

/** Never rejects, whatever the publisher does; what it does not answer is silence. */
async function publish(
  open: ConfirmOutletOptions['open'],
  batch: readonly OutboundMessage[],
  timeoutMs: number,
): Promise<readonly Fate[]> {
  let publisher: Publisher
  try {
    publisher = await open()
  } catch (error) {
    return batch.map(() => neverLeft(error))
  }
  try {
    return await withDeadline(publisher.publish(batch, timeoutMs), timeoutMs + graceMs, 'A publisher')
  } catch {
    return []
  }
}

/** A publisher answers within its time and a little. */
const graceMs = 500

const silence: Fate = {
  outcome: 'unknown',
  code: 'NO_ANSWER',
  reason: 'the transport gave no answer for it',
}

/** `false`: it is to be tried again. */
function judge(entry: Entry, fate: Fate): boolean {
  entry.isUnderway = false
  if (entry.settle === null) return true
  if (fate.outcome === 'confirmed') {
    entry.settle(null)
    return true
  }
  if (fate.outcome === 'unknown') {
    entry.doubt = fate.code
    return false
  }
  entry.refusal = fate.code
  if (fate.retryable) return false
  entry.settle(entry.doubt === undefined ? rejectedForGood(entry, fate) : unknown(entry))
  return true
}

function expire(entry: Entry, code: string): void {
  const mayBeThere = entry.isUnderway || entry.doubt !== undefined
  const next = 'Send it again with the same id.'
  entry.settle?.(
    mayBeThere ? unknown(entry, code) : rejected(entry, `${entry.refusal ?? code}. ${next}`, 'yes'),
  )
}

function unknown({ message, doubt }: Entry, code = 'WB_TIMED_OUT'): Error {
  const { id, channel } = message.envelope
  return new PublishOutcomeUnknownError(id, channel, doubt ?? code)
}

function rejectedForGood(entry: Entry, { scope, code, reason }: Rejected): WaybillError {
  const next =
    scope === 'message' ? 'It cannot be sent as it is.' : 'Nothing can be sent until that is mended.'
  return rejected(entry, `${code}. ${reason.replace(/\.?$/u, '.')} ${next}`, 'no')
}

function rejected({ message }: Entry, why: string, retryable: 'yes' | 'no'): WaybillError {
  const { id, channel } = message.envelope
  return new WaybillError(
    'WB_PUBLISH_REJECTED',
    `Message ${id} on channel "${channel}" was not sent: ${why}`,
    { retryable },
  )
}

function neverLeft(error: unknown): Fate {
  const { code, message } = describeError(error)
  const retryable = !isWaybillError(error) || error.retryable !== 'no'
  return { outcome: 'rejected', scope: 'destination', retryable, code, reason: message }
}
