import { isAscii } from 'node:buffer'
import { describeError, WaybillError } from '../kernel/errors.ts'
import { payloadVersionHeader, type Envelope, type Message } from '../kernel/message.ts'
import type { SomeChannel } from '../outbox/channel.ts'
import { isJson } from '../outbox/payload.ts'
import { validate } from '../outbox/standard-schema.ts'
import { UnreadableError } from './outcome.ts'

// Not a stripping decoder: a byte order mark is not JSON, and bytes that are not UTF-8 are not silently replaced.
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/**
 * An envelope as its handler sees it, but for {@link upcast}: JSON parsed, other content types as bytes. The payload of a
 * message that Waybill wrote is the output of the channel's schema already, and a schema that transforms would refuse its own
 * output; so only foreign messages are validated, and their handler gets what the schema makes of them. Throws, or rejects with, what no
 * retry can change; with a `UnreadableError` where the message is of a version that this channel cannot read, or is a foreign one and
 * no schema says what it has to look like. Only what is validated is waited for: a promise for each message of a batch costs as much
 * as parsing it.
 */
export function decode(envelope: Envelope, channel: SomeChannel): Message | Promise<Message> {
  const version = versionOf(envelope, channel)
  const payload = parse(envelope)
  if (channel.schema === undefined || envelope.isForeign !== true)
    return messageOf(envelope, version, payload)
  return validated(envelope, channel, version, payload)
}

async function validated(
  envelope: Envelope,
  { name, schema }: SomeChannel,
  version: number,
  payload: unknown,
): Promise<Message> {
  const valid = await validate(schema!, payload, `message ${envelope.id} on channel "${name}"`)
  return messageOf(envelope, version, valid)
}

function messageOf(envelope: Envelope, version: number, payload: unknown): Message {
  const { id, channel, key, headers, createdAt } = envelope
  return { id, channel, key, payload, version, headers, createdAt }
}

/** An upcast threw: it would throw again, whatever else is tried. */
export class UpcastError extends WaybillError {}

/** The message with a payload of the channel's own version. Throws {@link UpcastError}. */
export function upcast(message: Message, channel: SomeChannel): Message {
  const { id, version, payload } = message
  if (version === channel.version) return message
  const what = `The upcast of message ${id} on channel "${channel.name}" from version ${version} to ${channel.version}`
  let upcasted: unknown
  try {
    upcasted = channel.upcast(payload, version)
  } catch (cause) {
    // Its sentence may quote the payload, so only its kind is passed on (S16).
    throw new UpcastError('WB_UPCAST_FAILED', `${what} threw ${describeError(cause).code}.`, { cause })
  }
  if (upcasted instanceof Promise) {
    upcasted.catch(() => {})
    throw new UpcastError('WB_UPCAST_FAILED', `${what} returned a promise: an upcast must be synchronous.`)
  }
  return { ...message, payload: upcasted }
}

function versionOf(envelope: Envelope, channel: SomeChannel): number {
  const which = `Message ${envelope.id} on channel "${channel.name}"`
  if (envelope.isForeign === true) {
    if (channel.schema !== undefined) return channel.version
    throw new UnreadableError(
      'WB_ENVELOPE_INVALID',
      `${which} was not written by Waybill, and the channel has no schema to judge it by.`,
    )
  }
  const header = envelope.headers[payloadVersionHeader]
  if (header === undefined && channel.version === 1) return 1
  const text = header ?? '1'
  const version = /^[1-9]\d{0,14}$/u.test(text) ? Number(text) : undefined
  if (version === channel.version) return version
  if (version !== undefined && version < channel.version && channel.hasUpcast) return version
  const remedy =
    version !== undefined && version < channel.version
      ? 'give the channel an `upcast`'
      : 'update this service'
  throw new UnreadableError(
    'WB_VERSION_UNKNOWN',
    `${which} has version "${text.slice(0, 20)}", and version ${channel.version} is handled here: ${remedy}.`,
  )
}

function parse(envelope: Envelope): unknown {
  if (!isJson(envelope.contentType)) return envelope.payload
  try {
    return JSON.parse(textOf(envelope.payload))
  } catch {
    // The parser's own sentence quotes the payload (S16).
    throw new WaybillError(
      'WB_ENVELOPE_INVALID',
      `The payload of message ${envelope.id} on channel "${envelope.channel}" says that it is JSON and is not.`,
    )
  }
}

/** Most JSON is ASCII, and to copy that takes a quarter of the time that decoding does. */
function textOf(bytes: Uint8Array): string {
  if (!isAscii(bytes)) return decoder.decode(bytes)
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1')
}
