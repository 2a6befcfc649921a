import { WaybillError } from '../kernel/errors.ts'
import { isUuid, newMessageId } from '../kernel/ids.ts'
import { payloadVersionHeader } from '../kernel/message.ts'
import { didYouMean } from '../kernel/suggest.ts'
import type { NewMessage } from '../ports/outbox-writer.ts'
import type { SomeChannel } from './channel.ts'
import type { DelayOptions } from './delay.ts'
import { payloadsOf } from './many.ts'
import { headerBytes, messageHeaders } from './message-headers.ts'
import { messageKey } from './message-key.ts'
import { encodePayload } from './payload.ts'
import { validate } from './standard-schema.ts'
import { captureTraceContext } from './trace-context.ts'

/** What `publish` and `send` take alike. */
export interface MessageOptions {
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

export interface PublishOptions extends MessageOptions, DelayOptions {}

export const messageOptionNames = ['id', 'key', 'headers', 'contentType'] as const

/** A channel of the configuration, and what its transport takes. */
export interface PublishTarget {
  readonly channel: SomeChannel
  /** Largest payload with key and headers. */
  readonly maxBytes: number
}

/** What one call of `publish` or `send` asks for. */
export interface MessageRequest {
  readonly target: PublishTarget
  /** A payload, or `many(…)`. */
  readonly payload: unknown
  readonly options: MessageOptions
  readonly newId?: (() => string) | undefined
}

export interface MadeMessages {
  readonly messages: readonly NewMessage[]
  readonly isMany: boolean
}

/**
 * Validates and encodes. Refuses what could not be delivered later (W5), with a `WaybillError`. A promise only where the
 * schema is asynchronous, so that a synchronous `publish` reaches the connection in the turn it was called in.
 */
export function makeMessages(request: MessageRequest): MadeMessages | Promise<MadeMessages> {
  const { target, payload, options } = request
  const several = payloadsOf(payload)
  checkId(options, several !== undefined, target.channel.name)
  const trace = captureTraceContext()
  const payloads = several ?? [payload]
  const isMany = several !== undefined
  const values = payloads.map((value, i) => {
    const position = isMany ? ` (${i + 1} of ${payloads.length})` : ''
    const what = `a message for channel "${target.channel.name}"${position}`
    const { schema } = target.channel
    const checked = schema === undefined ? value : validate(schema, value, what)
    // A later one may be refused at once, and then nobody waits for this one any more.
    if (checked instanceof Promise) checked.catch(() => {})
    return { what, value: checked }
  })
  const make = (value: unknown, what: string): NewMessage => newMessage(request, value, trace, what)
  if (!values.some(({ value }) => value instanceof Promise)) {
    return { messages: values.map(({ value, what }) => make(value, what)), isMany }
  }
  return Promise.all(values.map(async ({ value, what }) => make(await value, what))).then((messages) => ({
    messages,
    isMany,
  }))
}

/** The options of a call of `method`, known by their names. */
export function checkOptionNames(
  options: unknown,
  known: readonly string[],
  method: string,
  channel: string,
): void {
  if (typeof options !== 'object' || options === null) {
    throw new WaybillError(
      'WB_INVALID_OPTION',
      `The options of ${method} on channel "${channel}" must be an object, as in { key: 'k' }.`,
    )
  }
  for (const name of Object.keys(options)) {
    if (known.includes(name)) continue
    throw new WaybillError(
      'WB_INVALID_OPTION',
      `Unknown option "${name}" of ${method} on channel "${channel}".${didYouMean(name, known)}`,
    )
  }
}

/** The configuration's own definition of a channel that a call names: where the two differ it counts. */
export function targetOf<Target extends PublishTarget>(
  targets: ReadonlyMap<string, Target>,
  channel: SomeChannel,
  method: string,
): Target {
  const name: unknown = channel?.name
  const target = typeof name === 'string' ? targets.get(name) : undefined
  if (target !== undefined) return target
  throw new WaybillError(
    'WB_UNKNOWN_CHANNEL',
    typeof name === 'string'
      ? `Channel "${name}" is not in the configuration: add it to \`channels\`, as in channel.via('kafka').` +
          didYouMean(name, targets.keys())
      : `${method} takes what defineChannel returned as its channel.`,
  )
}

function checkId(options: MessageOptions, isMany: boolean, channel: string): void {
  if (options.id === undefined) return
  if (isMany) {
    throw new WaybillError(
      'WB_INVALID_OPTION',
      `\`id\` names one message: the call on channel "${channel}" got many.`,
    )
  }
  if (typeof options.id !== 'string' || !isUuid(options.id)) {
    throw new WaybillError('WB_INVALID_ID', `The \`id\` given on channel "${channel}" is not a UUID.`)
  }
}

function newMessage(
  { target, options, newId }: MessageRequest,
  value: unknown,
  trace: readonly (readonly [string, string])[],
  what: string,
): NewMessage {
  const { channel, maxBytes } = target
  const key = messageKey(channel, value, options.key, what)
  const headers = messageHeaders(options.headers, [...versionOf(channel), ...trace], what)
  const { payload, contentType } = encodePayload(value, options.contentType, what)
  const bytes = payload.byteLength + headerBytes(headers) + (key === null ? 0 : Buffer.byteLength(key))
  if (bytes > maxBytes) {
    throw new WaybillError(
      'WB_MESSAGE_TOO_LARGE',
      `The payload, key and headers of ${what} take ${bytes} bytes; its transport takes at most ${maxBytes}. ` +
        'Store the content elsewhere and send its address.',
    )
  }
  const id = options.id?.toLowerCase() ?? (newId ?? newMessageId)()
  return { id, key, payload, contentType, headers }
}

/** Version 1 goes without saying: most channels never have another, and every row would carry it. */
function versionOf(channel: SomeChannel): readonly (readonly [string, string])[] {
  return channel.version === 1 ? [] : [[payloadVersionHeader, String(channel.version)]]
}
