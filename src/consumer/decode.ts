import { WaybillError } from '../kernel/errors.ts'
import type { Envelope, Message } from '../kernel/message.ts'
import type { SomeChannel } from '../outbox/channel.ts'
import { isJson } from '../outbox/payload.ts'
import { validate } from '../outbox/standard-schema.ts'

// Not a stripping decoder: a byte order mark is not JSON, and bytes that are not UTF-8 are not silently replaced.
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/**
 * An envelope as its handler sees it: JSON parsed, other content types as bytes. The payload of a message that Waybill wrote
 * is the output of the channel's schema already, and a schema that transforms would refuse its own output; so only foreign
 * messages are validated, and their handler gets what the schema makes of them. Rejects with what no retry can change.
 */
export async function decode(envelope: Envelope, channel: SomeChannel): Promise<Message> {
  const { id, key, headers, createdAt } = envelope
  let payload = parse(envelope)
  if (channel.schema !== undefined && isForeign(envelope)) {
    payload = await validate(channel.schema, payload, `message ${id} on channel "${channel.name}"`)
  }
  return { id, channel: envelope.channel, key, payload, headers, createdAt }
}

function parse(envelope: Envelope): unknown {
  if (!isJson(envelope.contentType)) return envelope.payload
  try {
    return JSON.parse(decoder.decode(envelope.payload))
  } catch {
    // The parser's own sentence quotes the payload (S16).
    throw new WaybillError(
      'WB_ENVELOPE_INVALID',
      `The payload of message ${envelope.id} on channel "${envelope.channel}" says that it is JSON and is not.`,
    )
  }
}

/** Ids of foreign messages are made from their source and id as UUIDs of version 5; Waybill's own are of version 7. */
function isForeign(envelope: Envelope): boolean {
  return envelope.id[14] === '5'
}
