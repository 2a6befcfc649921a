import { pathToFileURL } from 'node:url'
import type { ResolvedConfig } from '../app/config.ts'
import { checkConsumeOptions } from '../app/consume-options.ts'
import { MiddlewareStack } from '../app/middleware.ts'
import type { Waybill } from '../app/waybill.ts'
import type { ConsumerFacts } from '../guarantees/plan.ts'
import { WaybillError } from '../kernel/errors.ts'
import { newMessageId } from '../kernel/ids.ts'
import { didYouMean } from '../kernel/suggest.ts'
import type { BatchHandler, Handler, HandlerEntry } from '../consumer/handler.ts'
import { createEntry } from '../consumer/handler-entry.ts'
import type { SomeChannel } from '../outbox/channel.ts'
import { isJson } from '../outbox/payload.ts'
import { createPublish } from '../outbox/publish.ts'
import type { NewMessage } from '../ports/outbox-writer.ts'
import type { SqlExecutor } from '../ports/sql.ts'
import { executorFor } from '../transactions/registry.ts'
import { quoteName } from './idempotency-guard.ts'

export interface RecordedHandler {
  readonly channel: SomeChannel
  readonly consumer: string
  readonly timeoutMs: number
  readonly facts: ConsumerFacts
  /** The handler with all the middleware that was given, as the service would call it. */
  entry(): HandlerEntry
}

export interface Recorder {
  /** What the module of handlers gets in place of the service's own instance. */
  readonly waybill: Waybill
  readonly handlers: readonly RecordedHandler[]
}

/**
 * A stand-in that collects what is registered and starts nothing. What handlers publish goes to the scratch schema, in their own
 * transaction, and never to the outbox: a relay would send it.
 */
export function createRecorder(config: ResolvedConfig, scratchSchema: string | null): Recorder {
  const handlers: RecordedHandler[] = []
  const middleware = new MiddlewareStack()
  const fresh = new Set<string>()
  const newId = (): string => {
    const id = newMessageId()
    fresh.add(id)
    return id
  }
  const publish = createPublish({
    writer: {
      append: async (transaction, channel, messages) => {
        if (scratchSchema === null) throw refusal('publish() outside a handler')
        for (const message of messages)
          await note(transaction, scratchSchema, { channel, message, isNew: fresh.delete(message.id) })
        return { transactionId: '0' }
      },
    },
    targets: config.routes,
    executorFor,
    newId,
    middleware: middleware.publish,
  })
  const waybill: Waybill = {
    publish,
    use: (given) => middleware.add(given),
    consume: (channel, options, handler) => {
      if (!config.routes.has(channel.name)) {
        throw new WaybillError(
          'WB_UNKNOWN_CHANNEL',
          `Channel "${channel.name}" is not in the configuration.${didYouMean(channel.name, config.routes.keys())}`,
        )
      }
      const { facts, isBatch } = checkConsumeOptions(options, handler, config.settings)
      const about = { channel: channel as SomeChannel, form: 'settle-after' } as const
      handlers.push({
        channel,
        consumer: facts.name,
        timeoutMs: facts.handlerTimeoutMs,
        facts,
        // Its types were checked where it was registered; here it stands among others of other types.
        entry: () =>
          isBatch
            ? createEntry(about, {
                batch: true,
                handler: handler as BatchHandler,
                middleware: middleware.consumeBatch,
              })
            : createEntry(about, { handler: handler as Handler, middleware: middleware.consume }),
      })
    },
    send: refuse('send()'),
    deadLetters: {
      list: refuse('deadLetters'),
      show: refuse('deadLetters'),
      count: refuse('deadLetters'),
      replay: refuse('deadLetters'),
      purge: refuse('deadLetters'),
    },
    keys: {
      list: refuse('keys'),
      count: refuse('keys'),
      unblock: refuse('keys'),
      skip: refuse('keys'),
    },
    sent: { count: refuse('sent'), replay: refuse('sent') },
    cleanup: { look: refuse('cleanup'), run: refuse('cleanup') },
    subscriptions: { look: refuse('subscriptions'), end: refuse('subscriptions') },
    partitions: { change: refuse('partitions') },
    drain: refuse('drain()'),
    transaction: refuse('transaction()'),
    migrate: refuse('migrate()'),
    start: refuse('start()'),
    stop: refuse('stop()'),
    run: refuse('run()'),
    printMigrations: () => {
      throw refusal('printMigrations()')
    },
    status: () => ({ isRunning: false, parts: [] }),
    inspect: refuse('inspect()'),
    [Symbol.asyncDispose]: async () => {},
  }
  return { waybill, handlers }
}

/** What the module registers, of the channel and consumer asked for. Throws `WB_INVALID_OPTION` where there is none. */
export async function recordHandlers(
  config: ResolvedConfig,
  path: string,
  wanted: { readonly channel: string | undefined; readonly consumer: string | undefined },
): Promise<readonly RecordedHandler[]> {
  let loaded: { readonly default?: unknown }
  try {
    loaded = (await import(pathToFileURL(path).href)) as { readonly default?: unknown }
  } catch (cause) {
    throw new WaybillError('WB_INVALID_OPTION', `The module of handlers ${path} could not be loaded.`, {
      cause,
    })
  }
  if (typeof loaded.default !== 'function') {
    throw new WaybillError(
      'WB_INVALID_OPTION',
      `The module of handlers ${path} has no function as default export: export default (waybill) => { waybill.consume(…) }.`,
    )
  }
  const recorder = createRecorder(config, null)
  await (loaded.default as (waybill: Waybill) => unknown)(recorder.waybill)
  const chosen = recorder.handlers.filter(
    ({ channel, consumer }) =>
      (wanted.channel ?? channel.name) === channel.name && (wanted.consumer ?? consumer) === consumer,
  )
  if (chosen.length > 0) return chosen
  const there = recorder.handlers.map(({ channel, consumer }) => `${consumer} of ${channel.name}`).join(', ')
  throw new WaybillError(
    'WB_INVALID_OPTION',
    there === ''
      ? `The module of handlers ${path} registered none with waybill.consume().`
      : `No handler is of the channel and consumer asked for; there are: ${there}.`,
  )
}

async function note(
  transaction: SqlExecutor,
  schema: string,
  {
    channel,
    message,
    isNew,
  }: { readonly channel: string; readonly message: NewMessage; readonly isNew: boolean },
): Promise<void> {
  // The headers that trace propagation adds differ by themselves.
  const headers = Object.entries(message.headers).filter(
    ([name]) => !/^(?:traceparent|tracestate|baggage)$/iu.test(name),
  )
  await transaction.execute(
    {
      name: `${schema}-publish`,
      text: `insert into ${quoteName(schema)}."waybill outbox" values ($1, $2, $3, $4, $5, $6)`,
    },
    [
      isNew ? null : message.id,
      channel,
      message.key,
      Buffer.from(message.payload).toString(isJson(message.contentType) ? 'utf8' : 'hex'),
      message.contentType,
      JSON.stringify(Object.fromEntries(headers.sort(([a], [b]) => (a < b ? -1 : 1)))),
    ],
  )
}

function refuse(what: string): () => Promise<never> {
  return () => Promise.reject(refusal(what))
}

function refusal(what: string): WaybillError {
  return new WaybillError(
    'WB_INVALID_OPTION',
    `${what} cannot be checked: in check-idempotency the module of handlers only registers them with consume(), and a ` +
      'handler works in its own transaction and publishes there.',
  )
}
