import { resolveConfig } from '../app/config.ts'
import { loadConfig } from '../cli/config-file.ts'
import { WaybillError } from '../kernel/errors.ts'
import { checkIdempotency, type IdempotencyReport, type IdempotencyVerdict } from './idempotency.ts'
import { changingColumns, refuseUnknownColumns } from './idempotency-catalog.ts'
import { Lives } from './idempotency-lives.ts'
import { leftOutSentence, readMessages, refuseWithout } from './idempotency-messages.ts'
import type { CheckMessage } from './idempotency-protocol.ts'
import { recordHandlers, type RecordedHandler } from './idempotency-recorder.ts'
import { outboxColumns, outboxTable, type InTransaction, type Scratch } from './idempotency-scratch.ts'
import { CopiesMissing, withScratch } from './idempotency-scratch-session.ts'

export interface CheckHandlersOptions {
  /** As given with --config. */
  readonly config: string | undefined
  readonly flags: Readonly<Record<string, unknown>>
  /** Absolute path of the module whose default export registers handlers. */
  readonly handlers: string
  readonly tables: readonly string[]
  readonly ignore: readonly string[]
  readonly channel: string | undefined
  readonly consumer: string | undefined
  /** Lines of JSON, one for each message. */
  readonly messages: string
  readonly maxRows: number
  readonly rounds: number
  readonly showRows: boolean
  readonly signal: AbortSignal
  readonly onProgress: (text: string) => void
}

export interface HandlerReport {
  readonly channel: string
  readonly consumer: string
  readonly verdict: IdempotencyVerdict
  readonly messages: readonly (IdempotencyReport & { readonly id: string })[]
}

export interface HandlersReport {
  readonly verdict: IdempotencyVerdict
  readonly handlers: readonly HandlerReport[]
  /** `table.column` and why it may differ. */
  readonly ignored: Readonly<Record<string, string>>
  /** What the check could not see or undo. */
  readonly notes: readonly string[]
}

/** Checks the handlers of a module, each with the messages of its channel, on copies of the tables named. */
export async function checkHandlers(options: CheckHandlersOptions): Promise<HandlersReport> {
  const { flags } = options
  const config = resolveConfig(await loadConfig(options.config), { flags, env: process.env })
  if (config.store?.kind !== 'postgres') {
    throw new WaybillError(
      'WB_INVALID_CONFIG',
      'check-idempotency copies tables in PostgreSQL: the configuration needs `store: postgresStore({ … })`. With another ' +
        'database use checkIdempotency of waybill/testing in a test.',
    )
  }
  const handlers = await recordHandlers(config, options.handlers, options)
  const wanted = handlers.map(({ channel }) => channel.name)
  const read = await readMessages(options.messages, config.routes, wanted)
  const leftOut = leftOutSentence(read)
  if (leftOut !== undefined) options.onProgress(leftOut)
  const { byChannel: messages } = read
  refuseWithout(messages, wanted)
  const { settings, logger } = config
  const store = config.store.open({ logger, ...settings })
  try {
    return await withScratch(store, options, async (scratch, inTransaction) => {
      const check = new HandlersCheck(options, scratch, inTransaction)
      const reports: HandlerReport[] = []
      for (const handler of handlers) {
        reports.push(await check.check(handler, messages.get(handler.channel.name) ?? []))
      }
      return await check.conclude(reports)
    })
  } catch (error) {
    if (!(error instanceof CopiesMissing)) throw error
    return { verdict: 'unknown', handlers: [], ignored: {}, notes: [error.message] }
  } finally {
    await store.close()
  }
}

class HandlersCheck {
  readonly #options: CheckHandlersOptions
  readonly #scratch: Scratch
  readonly #inTransaction: InTransaction
  readonly #ignored: ReadonlyMap<string, string>

  constructor(options: CheckHandlersOptions, scratch: Scratch, inTransaction: InTransaction) {
    this.#options = options
    this.#scratch = scratch
    this.#inTransaction = inTransaction
    refuseUnknownColumns(
      options.ignore,
      scratch.tables,
      outboxColumns.map((name) => `${outboxTable}.${name}`),
    )
    const named = options.ignore.map((column) => [column, '--ignore'] as const)
    this.#ignored = new Map([...changingColumns(scratch.tables), ...named])
  }

  async check(recorded: RecordedHandler, messages: readonly CheckMessage[]): Promise<HandlerReport> {
    const { channel, consumer } = recorded
    const reports: (IdempotencyReport & { readonly id: string })[] = []
    // Another consumer has been here before: each meets the tables as they are.
    await this.#scratch.restart()
    for (const message of messages) {
      if (this.#options.signal.aborted)
        throw new WaybillError('WB_ABORTED', 'The check was stopped before its end.')
      this.#options.onProgress(`Checking ${consumer} of ${channel.name} with message ${message.id} ...`)
      reports.push({ id: message.id, ...(await this.#checkMessage(recorded, message)) })
    }
    return { channel: channel.name, consumer, verdict: worst(reports), messages: reports }
  }

  async conclude(handlers: readonly HandlerReport[]): Promise<HandlersReport> {
    const changed = await this.#scratch.changedOriginals()
    const notes = this.#scratch.tables
      .filter(({ lacks }) => lacks.length > 0)
      .map(({ name, lacks }) => `The copy of ${name} is without its ${lacks.join(', ')}.`)
    for (const name of changed) {
      notes.unshift(
        `${name} itself changed during the check: something else writes to it, or the handler does, on a connection of its own. ` +
          'Nothing can be said then; check on a database that nothing else uses.',
      )
    }
    const verdicts = handlers.map(({ verdict }) => verdict)
    const verdict = changed.length > 0 ? 'unknown' : worstOf(verdicts)
    return { verdict, handlers, ignored: Object.fromEntries(this.#ignored), notes }
  }

  async #checkMessage(
    { consumer, timeoutMs }: RecordedHandler,
    message: CheckMessage,
  ): Promise<IdempotencyReport> {
    const { config, flags, handlers, signal, rounds, showRows } = this.#options
    const scratch = this.#scratch
    const lives = new Lives({
      setup: { config, handlers, flags, schema: scratch.schema, consumer, message },
      inTransaction: this.#inTransaction,
      attemptTimeoutMs: timeoutMs + 30_000,
      signal,
    })
    let isKept = false
    try {
      return await checkIdempotency({
        reset: async () => {
          await lives.end()
          await scratch.reset()
        },
        run: (attempt) => lives.run(attempt),
        isBlocked: (attempt) => lives.isBlocked(attempt),
        snapshot: async (mode) => {
          if (mode === 'once') {
            await scratch.keep()
            isKept = true
          }
          return await scratch.snapshot()
        },
        keys: Object.fromEntries(scratch.tables.map(({ name, key }) => [name, key])),
        ignore: [...this.#ignored.keys()],
        togetherRounds: rounds,
        // The other one's handler may stand for another reason, and runs into its time-out if it is never let go on.
        patienceMs: timeoutMs / 2,
        showRows,
        signal,
      })
    } finally {
      await lives.close()
      // The next message meets what this one left, as it does in the service.
      if (isKept) await scratch.advance()
    }
  }
}

/** Messages that the handler does nothing for say nothing about it, as long as there are others. */
function worst(reports: readonly IdempotencyReport[]): IdempotencyVerdict {
  const telling = reports.filter(({ isVacuous }) => !isVacuous)
  return worstOf(telling.map(({ verdict }) => verdict))
}

function worstOf(verdicts: readonly IdempotencyVerdict[]): IdempotencyVerdict {
  if (verdicts.includes('not idempotent')) return 'not idempotent'
  return verdicts.length === 0 || verdicts.includes('unknown') ? 'unknown' : 'idempotent'
}
