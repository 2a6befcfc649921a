import { awake } from '../kernel/clock.ts'
import { describeError, WaybillError } from '../kernel/errors.ts'
import { failpoint } from '../kernel/failpoint.ts'
import type { Loss, OutboxRow } from '../ports/outbox.ts'
import { guarded, type ConsumerListener } from './events.ts'
import { orderKey } from './handler.ts'
import { keyGroups } from './key-groups.ts'
import { type Hold, OnceRunner, type OnceRunnerOptions } from './once-runner.ts'

export type LocalOnceOptions = OnceRunnerOptions & { readonly onEvent?: ConsumerListener }

/** Runs the handlers of outbox rows that were taken, by a committed delete, before. */
export interface LocalOnce {
  /**
   * Each row is run once, those of a key in the order given, in a transaction of its own. One answer for each: `null`, or how it was lost. Never
   * rejects. What has not ended after `timeoutMs` is lost too: the rows may soon be another's to account for, and nobody
   * may still be running them then. So is one of an ordered channel whose partition is another's by now, who may have run what comes
   * after it: `epochs` are of the leases under which the rows were taken.
   */
  send(
    rows: readonly OutboxRow[],
    timeoutMs: number,
    epochs: readonly bigint[],
  ): Promise<readonly (Answer | null)[]>
}

type Answer = Pick<Loss, 'cause' | 'code'>

export function createLocalOnce(options: LocalOnceOptions): LocalOnce {
  const { consumer, clock, handlers, inbox } = options
  const runner = new OnceRunner(options, guarded(options.onEvent))
  return {
    async send(rows, timeoutMs, epochs) {
      const limit = new AbortController()
      const ended = new AbortController()
      void clock.sleep(timeoutMs, ended.signal).then(() => {
        if (!ended.signal.aborted) limit.abort(outOfTime(consumer))
      })
      const answers = new Map<OutboxRow, Answer | null>()
      const holdOn = (row: OutboxRow): Hold => {
        const lease = { partition: row.partition, epoch: epochs[rows.indexOf(row)]! }
        // The lease's row stays locked until the COMMIT, so nobody claims it meanwhile.
        return { admits: (transaction) => inbox.holdsLease(transaction, consumer, lease) }
      }
      const runAll = async (group: readonly OutboxRow[]): Promise<void> => {
        for (const row of group) {
          const hold = orderKey(handlers, row) === null ? undefined : holdOn(row)
          answers.set(row, answerOf(await runner.run(row, limit.signal, hold)))
        }
      }
      try {
        failpoint('consumer.after-receive')
        const concurrency = handlers.get(rows[0]?.channel ?? '')?.concurrency ?? 1
        await Promise.all(keyGroups(rows, (row) => orderKey(handlers, row), concurrency).map(runAll))
        return rows.map((row) => answers.get(row) ?? null)
      } catch (error) {
        const { code } = describeError(error)
        return rows.map((row) => answers.get(row) ?? { cause: 'handler-failed', code })
      } finally {
        ended.abort(awake)
      }
    },
  }
}

function answerOf(loss: Loss | null): Answer | null {
  return loss === null ? null : { cause: loss.cause, code: loss.code }
}

function outOfTime(consumer: string): WaybillError {
  return new WaybillError('WB_TIMED_OUT', `Consumer "${consumer}" did not come to it in time; it is lost.`)
}
