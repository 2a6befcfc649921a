import { newMessageId } from '../../kernel/ids.ts'
import { type Envelope, headersFrom, payloadVersionHeader } from '../../kernel/message.ts'
import type { SomeChannel } from '../../outbox/channel.ts'
import { encodePayload } from '../../outbox/payload.ts'

export interface ReceiveOptions {
  /** A UUID. @default a new one */
  readonly id?: string
  /** @default what the channel's `key` makes of the payload, which is then one of this version */
  readonly key?: string | null
  /** Of the payload, as its publisher has it. @default the channel's own */
  readonly version?: number
  /** @default none */
  readonly headers?: Readonly<Record<string, string>>
  /** Whether it was written by something else than Waybill: the channel's schema judges it then. @default false */
  readonly isForeign?: boolean
}

/** A message as the publisher of another service has put it on the wire. */
export function receivedEnvelope(channel: SomeChannel, payload: unknown, options: ReceiveOptions): Envelope {
  const { id = newMessageId(), version = channel.version, headers = {}, isForeign = false } = options
  const { key = channel.keyOf(payload) ?? null } = options
  const ownHeaders = version === 1 || isForeign ? [] : [[payloadVersionHeader, String(version)] as const]
  return {
    id,
    channel: channel.name,
    key,
    ...encodePayload(payload, undefined, `a message for channel "${channel.name}"`),
    headers: headersFrom([...Object.entries(headers), ...ownHeaders]),
    createdAt: new Date(),
    ...(isForeign ? { isForeign } : {}),
  }
}
