/**
 * Header names and values. Objects of this type have no prototype, so that a header named `__proto__` is only a name
 * (S11); make them with {@link headersFrom}.
 */
export type MessageHeaders = Readonly<Record<string, string>>

/**
 * A message as it is stored and carried: bytes and text, nothing typed. What was written is what arrives: no layer
 * re-encodes the payload.
 */
export interface Envelope {
  /** UUID, made once at publish; it never changes over retries, relays and replays (W3). */
  readonly id: string
  readonly channel: string
  /** The unit of order on an ordered channel; `null` where there is none. */
  readonly key: string | null
  readonly payload: Uint8Array
  /** Media type of the payload, e.g. `application/json`. */
  readonly contentType: string
  readonly headers: MessageHeaders
  /** When `publish` was called, by the database's clock. For people: order never rests on it (W4). */
  readonly createdAt: Date
  /** Not written by Waybill: nobody has validated its payload. Its id does not tell, for a caller's own may be of any version. */
  readonly isForeign?: true
}

/** A message as a handler sees it. */
export interface Message<Payload = unknown> {
  readonly id: string
  readonly channel: string
  readonly key: string | null
  /** Of the channel's own version, whatever version it was published in. */
  readonly payload: Payload
  /** The version it was published in. */
  readonly version: number
  readonly headers: MessageHeaders
  readonly createdAt: Date
}

/** The header that names the version of a payload; a message of ours without it is of version 1. */
export const payloadVersionHeader = 'waybill-version'

const dangerous = new Set(['__proto__', 'constructor', 'prototype'])

/** Headers without a prototype. Names that could reach a prototype elsewhere are dropped (S11). */
export function headersFrom(entries: Iterable<readonly [string, string]>): MessageHeaders {
  const headers = Object.create(null) as Record<string, string>
  for (const [name, value] of entries) if (!dangerous.has(name)) headers[name] = value
  return headers
}
