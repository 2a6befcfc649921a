import { diagnostic } from '../kernel/diagnostics.ts'
import { WaybillError } from '../kernel/errors.ts'
import type { OutboxWriter } from '../ports/outbox-writer.ts'
import type { SqlExecutor } from '../ports/sql.ts'
import type { Channel, SomeChannel } from './channel.ts'
import { delayOf } from './delay.ts'
import type { Many } from './many.ts'
import { throughMiddleware, type PublishMiddleware } from './middleware.ts'
import {
  checkOptionNames,
  makeMessages,
  messageOptionNames,
  targetOf,
  type PublishOptions,
  type PublishTarget,
} from './messages.ts'

const publishOptionNames = [...messageOptionNames, 'notBefore', 'delayMs']

/**
 * Writes one message, or {@link Many}, into the outbox inside the transaction of `transaction`: it is sent if and only if that
 * transaction commits. Resolves with the message's id, or ids in order, once the statement has been answered.
 *
 * What could not be delivered later is refused before anything is written (W1, W5), with a `WaybillError`.
 */
export interface Publish {
  <Payload, Input>(
    transaction: unknown,
    channel: Channel<Payload, Input, true, boolean>,
    payloads: Many<NoInfer<Input>>,
    options?: PublishOptions,
  ): Promise<readonly string[]>
  <Payload, Input>(
    transaction: unknown,
    channel: Channel<Payload, Input, true, boolean>,
    payload: NoInfer<Input>,
    options?: PublishOptions,
  ): Promise<string>
}

export interface PublishParts {
  readonly writer: OutboxWriter
  /** By channel name. Where a publish names a channel the definition that stands here counts. */
  readonly targets: ReadonlyMap<string, PublishTarget>
  /** Makes an executor of the caller's handle, or throws `WB_NO_TRANSACTION`. */
  readonly executorFor: (transaction: unknown) => SqlExecutor
  /** Called before anything is written: throws where the channel takes no more. @default every channel takes all there is */
  readonly admit?: (channel: SomeChannel, count: number) => void
  /** Called when rows were written, not yet committed: for wake-up hints and to resolve unknown commits. */
  readonly onAppended?: (written: AppendedNote) => void
  /** Called at once, for whoever must know of a publish that nobody awaits. */
  readonly onStarted?: (started: StartedPublish) => void
  /** Around each call, the first one outermost. @default none */
  readonly middleware?: readonly PublishMiddleware[]
  /** @default UUIDv7 */
  readonly newId?: () => string
}

export interface AppendedNote {
  readonly transaction: unknown
  readonly channel: string
  readonly count: number
  /** The database's id of the transaction. */
  readonly transactionId: string
}

export interface StartedPublish {
  readonly transaction: unknown
  readonly channel: string
  /** `true` when its statement has been handed to the driver; `false` when none will be, and then `done` says why. */
  readonly issued: Promise<boolean>
  /** What the caller got. */
  readonly done: Promise<unknown>
}

const publishedEvents = diagnostic('waybill.outbox.published')

export function createPublish(parts: PublishParts): Publish {
  const publish = (
    transaction: unknown,
    channel: SomeChannel,
    payload: unknown,
    options: PublishOptions = {},
  ): Promise<string | readonly string[]> => {
    const { promise: issued, resolve } = Promise.withResolvers<boolean>()
    const done = write(transaction, channel, payload, options, resolve)
    parts.onStarted?.({ transaction, channel: channel?.name, issued, done })
    return done
  }

  const write = async (
    transaction: unknown,
    channel: SomeChannel,
    payload: unknown,
    options: PublishOptions,
    issue: (isSent: boolean) => void,
  ): Promise<string | readonly string[]> => {
    try {
      if (parts.middleware === undefined || parts.middleware.length === 0) {
        return await append(transaction, channel, payload, options, issue)
      }
      return await throughMiddleware(
        parts.middleware,
        { method: 'publish', channel: channel?.name, payload, options },
        (changed) => append(transaction, channel, changed.payload, changed.options, issue),
      )
    } finally {
      issue(false)
    }
  }

  const append = async (
    transaction: unknown,
    channel: SomeChannel,
    payload: unknown,
    options: PublishOptions,
    issue: (isSent: boolean) => void,
  ): Promise<string | readonly string[]> => {
    const executor = openTransaction(parts, transaction, channel)
    const target = targetOf(parts.targets, channel, 'publish(transaction, channel, payload)')
    const { name } = target.channel
    mustBeStored(target.channel)
    checkOptionNames(options, publishOptionNames, 'publish', name)
    const delay = delayOf(options, target.channel)
    const made = makeMessages({ target, payload, options, newId: parts.newId })
    const { messages, isMany } = made instanceof Promise ? await made : made
    // While an asynchronous schema was at work the transaction may have ended, and a pooled client of the caller's may serve another.
    if (openTransaction(parts, transaction, channel) !== executor)
      throw noTransaction(channel, 'ended meanwhile')
    if (messages.length > 0) {
      parts.admit?.(target.channel, messages.length)
      const appending = parts.writer.append(executor, name, messages, delay)
      issue(true)
      const { transactionId } = await appending
      if (publishedEvents.hasSubscribers) publishedEvents.publish({ channel: name, count: messages.length })
      parts.onAppended?.({ transaction, channel: name, count: messages.length, transactionId })
    }
    const ids = messages.map((message) => message.id)
    return isMany ? ids : ids[0]!
  }
  return publish as Publish
}

function mustBeStored(channel: SomeChannel): void {
  if (channel.isStored) return
  throw new WaybillError(
    'WB_GUARANTEE_UNSUPPORTED',
    `Channel "${channel.name}" is declared with \`outbox: false\`: use send(), or leave that option out.`,
  )
}

function openTransaction(parts: PublishParts, transaction: unknown, channel: SomeChannel): SqlExecutor {
  const executor = parts.executorFor(transaction)
  const state = executor.transactionState()
  if (state === 'none')
    throw noTransaction(channel, 'is not in a transaction: BEGIN first, or use waybill.transaction()')
  if (state === 'failed')
    throw noTransaction(channel, 'is in a transaction that has failed: only a rollback is possible')
  return executor
}

function noTransaction(channel: SomeChannel, why: string): WaybillError {
  return new WaybillError(
    'WB_NO_TRANSACTION',
    `Nothing was published on channel "${channel?.name}": the handle given ${why}.`,
  )
}
