import { pathToFileURL } from 'node:url'
import { MiddlewareStack } from '../../app/middleware.ts'
import type { BatchHandler, Handler } from '../../consumer/handler.ts'
import { around } from '../../consumer/handler-entry.ts'
import type { Client } from '../../demo/database.ts'
import type { BatchConsumeOptions, ConsumeOptions, Waybill } from '../../index.ts'
import type { SomeChannel } from '../../outbox/channel.ts'
import { createRecorder } from '../../testing/idempotency-recorder.ts'
import type { Ledger } from './ledger.ts'
import { movedName } from './moved-config.ts'
import { ownOptions, type Service } from './service.ts'

interface Parts {
  readonly waybill: Waybill<Client>
  readonly service: Service
  /** Of the run. */
  readonly id: string
  readonly ledger: Ledger
}

/** Registers the handlers that are judged: the user's own, or those of the run. */
export async function registerHandlers(parts: Parts): Promise<void> {
  const { service } = parts
  const { handlers, pairs } = service.settings
  const stand = standIn(parts)
  if (handlers === null) {
    for (const { channel, consumer } of pairs) {
      const { channel: own } = service.config.routes.get(channel)!
      stand.consume(own, ownOptions(service.config, channel, consumer), () => {})
    }
    return
  }
  const module = (await import(pathToFileURL(handlers).href)) as {
    readonly default: (waybill: Waybill) => unknown
  }
  await module.default(stand)
}

/** What the user's module gets: it registers handlers as in the service, and each is noted. */
function standIn({ waybill, service, id, ledger }: Parts): Waybill {
  const middleware = new MiddlewareStack()
  const { config, settings, handlerTimeoutMs } = service
  const consume = (
    channel: SomeChannel,
    options: ConsumeOptions | BatchConsumeOptions,
    handler: unknown,
  ): void => {
    const pair = settings.pairs.find(
      (one) => one.channel === channel.name && one.consumer === options.consumer,
    )
    // Not asked for, or nothing that can be judged.
    if (pair === undefined) return
    const given = {
      ...options,
      consumer: movedName(id, options.consumer),
      timeoutMs: Math.min(options.timeoutMs ?? Infinity, handlerTimeoutMs),
    }
    // What stands around a handler works in its transaction, and so on the copies too. More of it may be added later.
    if (given.batch === true) {
      const noted: BatchHandler<unknown, Client> = (messages, context) => {
        const { tx, idempotencyKeys, signal } = context
        const inner = around(middleware.consumeBatch, handler as BatchHandler)
        return ledger.around({ pair, messages, idempotencyKeys, tx, signal }, () => inner(messages, context))
      }
      waybill.consume(channel, given, noted)
      return
    }
    const noted: Handler<unknown, Client> = (message, context) => {
      const { tx, idempotencyKey, signal } = context
      const inner = around(middleware.consume, handler as Handler)
      const call = { pair, messages: [message], idempotencyKeys: [idempotencyKey], tx, signal }
      return ledger.around(call, () => inner(message, context))
    }
    waybill.consume(channel, given, noted)
  }
  const publish = async (tx: unknown, channel: SomeChannel, ...given: unknown[]): Promise<unknown> => {
    const call = waybill.publish as (...all: unknown[]) => Promise<string | readonly string[]>
    const ids = await call(tx, channel, ...given)
    await ledger.published(tx, channel.name, [ids].flat())
    return ids
  }
  return {
    ...createRecorder(config, null).waybill,
    use: ({ publish: around, ...rest }) => {
      middleware.add(rest)
      if (around !== undefined) waybill.use({ publish: around })
    },
    consume: consume as Waybill['consume'],
    publish: publish as Waybill['publish'],
  }
}
