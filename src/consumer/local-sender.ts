import { awake } from '../kernel/clock.ts'
import { describeError, WaybillError } from '../kernel/errors.ts'
import { failpoint } from '../kernel/failpoint.ts'
import { backoffMs } from '../kernel/retry.ts'
import type { OutboxRow } from '../ports/outbox.ts'
import type { Fate } from '../ports/transport.ts'
import { localAdmission } from './admission.ts'
import { BatchProcessor } from './batch-processor.ts'
import type { WorkItem } from './work-item.ts'
import type { BrokerConsumerOptions } from './consumer-options.ts'
import { guarded, tellDone } from './events.ts'
import { orderKey } from './handler.ts'
import { keyGroups } from './key-groups.ts'
import { notDone, type Outcome, skipped } from './outcome.ts'
import { Pace } from './pace.ts'

export type LocalSenderOptions = Pick<
  BrokerConsumerOptions,
  | 'consumer'
  | 'handlers'
  | 'inbox'
  | 'transactions'
  | 'batchSize'
  | 'cautious'
  | 'maxAttempts'
  | 'retry'
  | 'handlerTimeoutMs'
  | 'idleTimeoutMs'
  | 'clock'
  | 'random'
  | 'onEvent'
>

/** Hands outbox rows to the handlers of a consumer of the same database. */
export interface LocalSender {
  /**
   * One fate for each row, in order; never rejects. What is not done after `timeoutMs` is rolled back. That is to be more
   * than a handler may take, or a slow one is never counted as failed.
   */
  send(rows: readonly OutboxRow[], timeoutMs: number): Promise<readonly Fate[]>
}

export function createLocalSender(options: LocalSenderOptions): LocalSender {
  const { consumer, handlers, inbox, clock, batchSize, cautious } = options
  const admission = localAdmission(inbox, consumer, handlers)
  const processor = new BatchProcessor<OutboxRow>({ ...options, admission })
  const tell = guarded(options.onEvent)
  const seen = new Map<number, number>()
  /** Of each channel with a handler. */
  const paces = new Map([...handlers.keys()].map((channel) => [channel, new Pace(batchSize)]))

  /** The first rows of a partition run alone: one that kills its process is counted then, this time or a restart later (O6). */
  const itemOf = (row: OutboxRow): WorkItem<OutboxRow> => {
    const before = seen.get(row.partition) ?? 0
    if (before < cautious) seen.set(row.partition, before + 1)
    return { envelope: row, ref: row, isAlone: before < cautious || row.attempts > 0 }
  }

  const keyOf = (item: WorkItem<OutboxRow>): string | null => orderKey(handlers, item.envelope)

  /** The groups side by side, each in as many transactions as it takes. */
  const sendAll = async (rows: readonly OutboxRow[], limit: Limit): Promise<Told[]> => {
    const items = rows.map(itemOf)
    const channel = rows[0]?.channel ?? ''
    const concurrency = handlers.get(channel)?.concurrency ?? 1
    const pace = paces.get(channel) ?? new Pace(batchSize)
    const outcomes = new Map<WorkItem<OutboxRow>, Told>()
    const work = keyGroups(items, keyOf, concurrency).map(async (group) => {
      const results = await sendGroup(group, pace, limit)
      for (const [i, item] of group.entries()) outcomes.set(item, results[i]!)
    })
    await Promise.all(work)
    return items.map((item) => outcomes.get(item)!)
  }

  const sendGroup = async (
    items: readonly WorkItem<OutboxRow>[],
    pace: Pace,
    { signal, until }: Limit,
  ): Promise<Told[]> => {
    const outcomes: Outcome[] = []
    const stopped = new Set<string>()
    let trouble: Outcome | undefined
    while (outcomes.length < items.length && trouble === undefined && !signal.aborted) {
      const began = clock.now()
      const size = outcomes.length === 0 ? pace.fitsFirst(until - began) : pace.fits(until - began)
      if (size === 0) break
      const chunk = items.slice(outcomes.length, outcomes.length + size)
      const keys = chunk.map(keyOf)
      const runnable = chunk.filter((_, i) => keys[i] === null || !stopped.has(keys[i]!))
      const results = await processor.process(runnable, signal)
      let next = 0
      for (const [i, item] of chunk.entries()) {
        const outcome: Outcome = item === runnable[next] ? results[next++]! : skipped
        outcomes.push(outcome)
        if (keys[i] !== null && outcome.outcome !== 'handled' && outcome.outcome !== 'duplicate')
          stopped.add(keys[i]!)
      }
      if (signal.aborted) pace.wasCut(runnable.length, clock.now() - began)
      else if (runnable.length > 0) pace.took(runnable.length, clock.now() - began)
      trouble = results.find(({ outcome }) => outcome === 'unavailable')
    }
    const left = trouble ?? (signal.aborted ? notDone('unavailable', outOfTime(consumer)) : untried)
    return items.map((_, i) => outcomes[i] ?? left)
  }

  return {
    async send(rows, timeoutMs) {
      const limit = new AbortController()
      const ended = new AbortController()
      void clock.sleep(timeoutMs, ended.signal).then(() => {
        if (!ended.signal.aborted) limit.abort(outOfTime(consumer))
      })
      try {
        failpoint('consumer.after-receive')
        const outcomes = await sendAll(rows, { signal: limit.signal, until: clock.now() + timeoutMs })
        tellDone(consumer, rows, outcomes, tell)
        for (const [i, outcome] of outcomes.entries()) {
          if (outcome.outcome !== 'failed') continue
          const { id, channel } = rows[i]!
          tell({ type: 'failed', consumer, channel, id, attempts: outcome.attempts, code: outcome.code })
        }
        failpoint('consumer.before-settle')
        return outcomes.map((outcome) => fateOf(outcome, options))
      } catch (error) {
        // Not even the outcome is known then: the transaction may have committed.
        const { code, message } = describeError(error)
        return rows.map(() => ({ outcome: 'unknown', code, reason: message }))
      } finally {
        ended.abort(awake)
      }
    },
  }
}

/** `untried`: nothing has begun, for there was no time left for it. */
type Told = Outcome | typeof untried

const untried = { outcome: 'untried' } as const

/** The end of a send: what is running then is given up. */
interface Limit {
  readonly signal: AbortSignal
  /** The clock's reading at it. */
  readonly until: number
}

function fateOf(outcome: Told, { retry, random }: Pick<LocalSenderOptions, 'retry' | 'random'>): Fate {
  switch (outcome.outcome) {
    case 'handled':
    case 'duplicate':
      return { outcome: 'confirmed' }
    case 'failed': {
      const { retryable, isUnreadable, code, reason } = outcome
      return {
        outcome: 'rejected',
        scope: 'message',
        retryable,
        code,
        reason,
        ...(isUnreadable ? { isUnreadable } : {}),
      }
    }
    case 'later': {
      const { code, reason, pauseMs, attempts } = outcome
      const retryInMs = pauseMs ?? backoffMs(attempts + 1, retry, random)
      return { outcome: 'rejected', scope: 'message', retryable: true, code, reason, retryInMs }
    }
    case 'skipped': {
      const reason = 'an earlier message of the key failed'
      return { outcome: 'rejected', scope: 'message', retryable: true, code: 'WB_HANDLER_FAILED', reason }
    }
    case 'untried': {
      const reason = 'there was no time left for it in this send'
      return { outcome: 'rejected', scope: 'send', retryable: true, code: 'WB_TIMED_OUT', reason }
    }
    case 'unknown':
      return outcome
    case 'stale':
    case 'reassigned':
    case 'unavailable': {
      const { code, reason } = outcome
      return { outcome: 'rejected', scope: 'destination', retryable: true, code, reason }
    }
  }
}

function outOfTime(consumer: string): WaybillError {
  const message = `Consumer "${consumer}" did not come to it in time; it is tried again.`
  return new WaybillError('WB_TIMED_OUT', message, { retryable: 'yes' })
}
