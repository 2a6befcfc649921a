import { WaybillError } from '../kernel/errors.ts'
import { isUuid, newMessageId } from '../kernel/ids.ts'
import { didYouMean } from '../kernel/suggest.ts'
import type { NewMessage, OutboxWriter } from '../ports/outbox-writer.ts'
import type { SqlExecutor } from '../ports/sql.ts'
import type { Channel, SomeChannel } from './channel.ts'
import { payloadsOf, type Many } from './many.ts'
import { headerBytes, messageHeaders } from './message-headers.ts'
import { messageKey } from './message-key.ts'
import { encodePayload } from './payload.ts'
import { validate } from './standard-schema.ts'
import { captureTraceContext } from './trace-context.ts'

export interface PublishOptions {
  /**
   * A UUID, where the caller has one that stays the same when it tries again. Not with `many`.
   * @default a new UUIDv7
   */
  readonly id?: string
  /** @default what the channel's `key` makes of the payload */
  readonly key?: string
  /** Texts by name. `ce_*`, `waybill-*`, `content-type` and the trace headers are Waybill's own. @default none */
  readonly headers?: Readonly<Record<string, string>>
  /** Media type. @default 'application/json', or 'application/octet-stream' for a `Uint8Array` */
  readonly contentType?: string
}

const optionNames = ['id', 'key', 'headers', 'contentType'] as const

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

/** A channel of the configuration, and what its transport takes. */
export interface PublishTarget {
  readonly channel: SomeChannel
  /** Largest payload with key and headers. */
  readonly maxBytes: number
}

export interface PublishParts {
  readonly writer: OutboxWriter
  /** By channel name. Where a publish names a channel the definition that stands here counts. */
  readonly targets: ReadonlyMap<string, PublishTarget>
  /** Makes an executor of the caller's handle, or throws `WB_NO_TRANSACTION`. */
  readonly executorFor: (transaction: unknown) => SqlExecutor
  /** Called when rows were written, not yet committed: for wake-up hints and to resolve unknown commits. */
  readonly onAppended?: (written: AppendedNote) => void
  /** Called at once, for whoever must know of a publish that nobody awaits. */
  readonly onStarted?: (started: StartedPublish) => void
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
  /** `true` when its statement has been handed to the driver; `false` when none will be, and then `done` says why. */
  readonly issued: Promise<boolean>
  /** What the caller got. */
  readonly done: Promise<unknown>
}

export function createPublish(parts: PublishParts): Publish {
  const publish = (
    transaction: unknown,
    channel: SomeChannel,
    payload: unknown,
    options: PublishOptions = {},
  ): Promise<string | readonly string[]> => {
    const { promise: issued, resolve } = Promise.withResolvers<boolean>()
    const done = write(transaction, channel, payload, options, resolve)
    parts.onStarted?.({ transaction, issued, done })
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
      return await append(transaction, channel, payload, options, issue)
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
    const target = targetOf(parts.targets, channel)
    const several = payloadsOf(payload)
    checkOptions(options, several !== undefined, target.channel.name)
    const trace = captureTraceContext()
    const messages: NewMessage[] = []
    const payloads = several ?? [payload]
    for (let i = 0; i < payloads.length; i++) {
      const position = several === undefined ? '' : ` (${i + 1} of ${several.length})`
      const what = `a message for channel "${target.channel.name}"${position}`
      const { schema } = target.channel
      let value: unknown = payloads[i]
      if (schema !== undefined) {
        const verdict = validate(schema, value, what)
        value = verdict instanceof Promise ? await verdict : verdict
      }
      messages.push(newMessage(parts, target, value, options, trace, what))
    }
    // While an asynchronous schema was at work the transaction may have ended, and its pooled client may serve another.
    if (openTransaction(parts, transaction, channel) !== executor)
      throw noTransaction(channel, 'ended meanwhile')
    if (messages.length > 0) {
      const appending = parts.writer.append(executor, target.channel.name, messages)
      issue(true)
      const { transactionId } = await appending
      parts.onAppended?.({ transaction, channel: target.channel.name, count: messages.length, transactionId })
    }
    const ids = messages.map((message) => message.id)
    return several === undefined ? ids[0]! : ids
  }
  return publish as Publish
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

function targetOf(targets: ReadonlyMap<string, PublishTarget>, channel: SomeChannel): PublishTarget {
  const name: unknown = channel?.name
  const target = typeof name === 'string' ? targets.get(name) : undefined
  if (target !== undefined) return target
  throw new WaybillError(
    'WB_UNKNOWN_CHANNEL',
    typeof name === 'string'
      ? `Channel "${name}" is not in the configuration: add it to \`channels\`, as in channel.via('kafka').` +
          didYouMean(name, targets.keys())
      : 'publish(transaction, channel, payload) takes what defineChannel returned as its channel.',
  )
}

function checkOptions(options: PublishOptions, hasMany: boolean, channel: string): void {
  if (typeof options !== 'object' || options === null) {
    throw new WaybillError(
      'WB_INVALID_OPTION',
      `The options of publish on channel "${channel}" must be an object, as in { key: 'k' }.`,
    )
  }
  for (const name of Object.keys(options)) {
    if (optionNames.some((known) => known === name)) continue
    throw new WaybillError(
      'WB_INVALID_OPTION',
      `Unknown option "${name}" of publish on channel "${channel}".${didYouMean(name, optionNames)}`,
    )
  }
  if (options.id === undefined) return
  if (hasMany) {
    throw new WaybillError(
      'WB_INVALID_OPTION',
      `\`id\` names one message: publish on channel "${channel}" got many.`,
    )
  }
  if (typeof options.id !== 'string' || !isUuid(options.id)) {
    throw new WaybillError(
      'WB_INVALID_ID',
      `The \`id\` given to publish on channel "${channel}" is not a UUID.`,
    )
  }
}

function newMessage(
  parts: PublishParts,
  target: PublishTarget,
  value: unknown,
  options: PublishOptions,
  trace: readonly (readonly [string, string])[],
  what: string,
): NewMessage {
  const key = messageKey(target.channel, value, options.key, what)
  const headers = messageHeaders(options.headers, trace, what)
  const { payload, contentType } = encodePayload(value, options.contentType, what)
  const bytes = payload.byteLength + headerBytes(headers) + (key === null ? 0 : Buffer.byteLength(key))
  if (bytes > target.maxBytes) {
    throw new WaybillError(
      'WB_MESSAGE_TOO_LARGE',
      `The payload, key and headers of ${what} take ${bytes} bytes; its transport takes at most ${target.maxBytes}. ` +
        'Store the content elsewhere and send its address.',
    )
  }
  const id = options.id?.toLowerCase() ?? (parts.newId ?? newMessageId)()
  return { id, key, payload, contentType, headers }
}
