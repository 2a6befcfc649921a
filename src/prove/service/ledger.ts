import { randomUUID } from 'node:crypto'
import type { Client } from '../../demo/database.ts'
import type { Message } from '../../index.ts'
import { describeError } from '../../kernel/errors.ts'
import { ownCommit, quoteName, touchedOutside } from '../../testing/idempotency-guard.ts'
import type { SqlRow } from '../../ports/sql.ts'
import type { HistoryRecorder } from '../../testing/history.ts'
import { executorFor } from '../../transactions/registry.ts'
import { type LedgerPlace, orderText } from './ledger-tables.ts'
import { runSetting } from './copies.ts'
import type { ServicePair } from './settings.ts'

export interface LedgerOptions extends LedgerPlace {
  /** Waybill's tables. */
  readonly schema: string
  readonly pairs: readonly ServicePair[]
  readonly history: HistoryRecorder
  /** A handler has left the copies: nothing can be said of it, and nothing of what it did is kept. */
  readonly onLeft: (sentence: string) => void
}

export interface LedgerCall {
  readonly pair: ServicePair
  readonly messages: readonly Message[]
  readonly idempotencyKeys: readonly string[]
  readonly tx: Client
  /** Aborts where the handler takes too long: its transaction ends without it. */
  readonly signal: AbortSignal
}

/** Notes what handlers do, in their own transactions, and keeps those of the user's on the copies of their tables. */
export class Ledger {
  readonly #options: LedgerOptions

  constructor(options: LedgerOptions) {
    this.#options = options
  }

  /** Runs a handler and writes its effect where its transaction commits. */
  async around(call: LedgerCall, handler: () => Promise<void> | void): Promise<void> {
    // Each run that begins, whatever comes of it.
    this.#note(call, 'invoke')
    let hasFailed = false
    const fail = (): void => {
      if (!hasFailed) this.#note(call, 'fail')
      hasFailed = true
    }
    call.signal.addEventListener('abort', fail, { once: true })
    try {
      await this.#run(call, handler)
    } catch (error) {
      fail()
      throw error
    } finally {
      call.signal.removeEventListener('abort', fail)
    }
  }

  #note({ pair, messages }: LedgerCall, type: 'invoke' | 'fail'): void {
    for (const { id, key } of messages)
      this.#options.history.note({ type, f: 'handle', key: `${pair.name} ${key ?? id}`, id })
  }

  async #run(call: LedgerCall, handler: () => Promise<void> | void): Promise<void> {
    const { copies, loadSchema } = this.#options
    const { pair, tx } = call
    if (copies === null) {
      await handler()
      await this.#leave(call, null)
      return
    }
    const run = randomUUID()
    // Sent before whatever the handler sends, which need not wait for it.
    const entered = tx.query(`select ${loadSchema}.enter($1)`, [run])
    entered.catch(() => {})
    try {
      await handler()
      await entered
      await this.#leave(call, run)
    } catch (error) {
      // Also of a COMMIT that the handler sent itself.
      const why = leftText(error)
      if (why !== null) this.#options.onLeft(`The handler of ${pair.consumer} for ${pair.channel} ${why}`)
      throw error
    }
  }

  /** Notes what a handler has published, in its transaction, whose handle may be any that `publish` takes; it ends as that does. */
  async published(tx: unknown, channel: string, ids: readonly string[]): Promise<void> {
    const { schema, loadSchema, copies, pairs, history } = this.#options
    const of = pairs.filter((pair) => pair.channel === channel)
    if (of.length === 0) return
    const executor = executorFor(tx)
    const run = (text: string, values: readonly unknown[]): Promise<readonly SqlRow[]> =>
      executor.execute({ name: '', text }, values)
    const tracks = of.map(({ name }) => name)
    const rows = await run(
      `select id, key, current_setting('${runSetting}', true) as run from ${quoteName(schema)}.outbox where id = any($1::uuid[])`,
      [ids],
    )
    for (const { id, key, run: call } of rows) {
      const own = String(of[0]!.isOrdered ? key : id)
      for (const track of tracks)
        history.note({ type: 'invoke', f: 'write', key: `${track} ${own}`, id: String(id) })
      const written = await run(orderText(loadSchema), [`${channel} ${own}`, channel, id, own, tracks])
      // A run that publishes another message has another effect; one that gives it the same id has not.
      if (copies !== null && written.length > 0 && typeof call === 'string' && call !== '')
        await run(
          `insert into ${quoteName(copies)}."waybill changes" (run, image, sign) values ($1, jsonb_build_array('published', $2::text), 1)`,
          [call, `${channel} ${own}`],
        )
    }
  }

  async #leave({ pair, messages, idempotencyKeys, tx }: LedgerCall, run: string | null): Promise<void> {
    const ids = messages.map(({ id }) => id)
    const uniques = pair.guarantee === 'effectively-once' ? [...idempotencyKeys] : null
    await tx.query(`select ${this.#options.loadSchema}.leave($1, $2, $3, $4)`, [pair.name, ids, uniques, run])
  }
}

function leftText(error: unknown): string | null {
  const { code } = describeError(error)
  if (code === ownCommit) return 'ended its transaction itself: leave COMMIT to Waybill.'
  if (code !== touchedOutside) return null
  const { detail } = error as { detail?: unknown }
  return (
    `left the copies of the tables and was undone: it ${String(detail)}. Name each table it writes in --tables, and in the handler ` +
    'without a schema (nor through a view or function with a search_path of its own).'
  )
}
