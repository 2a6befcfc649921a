import { WaybillError } from './errors.ts'
import { foreignMessageId, isUuid } from './ids.ts'
import { headersFrom, type Envelope } from './message.ts'

/**
 * The envelope on a wire: CloudEvents 1.0 in binary mode. The payload stays as it is; everything else is a header, the
 * attributes under the prefix of the protocol's binding (Kafka: `ce_`). One header more, `waybill-envelope`, says that Waybill
 * wrote it and in which version.
 */
const versionHeader = 'waybill-envelope'
const version = '1'
const contentTypeHeader = 'content-type'

/** What a protocol's binding calls the attributes. */
export interface AttributeNames {
  readonly prefix: string
  readonly specversion: string
  readonly id: string
  readonly source: string
  readonly type: string
  readonly time: string
  readonly partitionkey: string
}

export function attributeNames(prefix: string): AttributeNames {
  return {
    prefix,
    specversion: `${prefix}specversion`,
    id: `${prefix}id`,
    source: `${prefix}source`,
    type: `${prefix}type`,
    time: `${prefix}time`,
    partitionkey: `${prefix}partitionkey`,
  }
}

/** The headers of an envelope, the caller's own first. `source` is the CloudEvents source of this service. */
export function encodeHeaders(envelope: Envelope, source: string, names: AttributeNames): [string, string][] {
  const headers = callersHeaders(envelope, names)
  headers.push(...sharedHeaders(envelope, source, names))
  headers.push([names.id, envelope.id], [names.time, isoOf(envelope.createdAt)])
  if (envelope.key !== null) headers.push([names.partitionkey, envelope.key])
  return headers
}

/** The caller's own. */
export function callersHeaders(
  { headers }: Pick<Envelope, 'headers'>,
  { prefix }: AttributeNames,
): [string, string][] {
  const own: [string, string][] = []
  // Refused at publish, but other languages write to the outbox too: what Waybill says of the message has to win.
  for (const name in headers) if (!isReserved(name, prefix)) own.push([name, headers[name]!])
  return own
}

/** What is the same in message after message of a channel. */
export function sharedHeaders(
  { channel, contentType }: Pick<Envelope, 'channel' | 'contentType'>,
  source: string,
  names: AttributeNames,
): [string, string][] {
  return [
    [versionHeader, version],
    [names.specversion, '1.0'],
    [names.source, source],
    [names.type, channel],
    [contentTypeHeader, contentType],
  ]
}

const milliseconds = Array.from({ length: 1000 }, (_, i) => `${String(i).padStart(3, '0')}Z`)
let lastSecond = Number.NaN
let untilSecond = ''

/** As `toISOString`, which takes longer than all else here: messages that go together share the second. */
export function isoOf(date: Date): string {
  const time = date.getTime()
  const second = Math.floor(time / 1000)
  if (second !== lastSecond) {
    untilSecond = date.toISOString().slice(0, -4)
    lastSecond = second
  }
  return untilSecond + milliseconds[time - second * 1000]!
}

/** A message as it came from a wire. */
export interface Arrival {
  readonly headers: Iterable<readonly [string, string]>
  readonly payload: Uint8Array
  /** The key that the wire itself knows; `null` where it has none. */
  readonly key: string | null
  /** The channels that this consumer expects at the address it came from. */
  readonly channels: readonly string[]
  /** When the broker got it. */
  readonly time: Date
  /** Names the message by where it stands, for one that brings no name: the same for every copy the broker hands out. */
  readonly place: { readonly source: string; readonly id: string }
}

/**
 * The envelope of what arrived. Three kinds: Waybill's own, by its version header · another's CloudEvent, whose id is made
 * from its source and id · anything else, whose id is made from its place. Foreign ids are UUIDv5, so that they meet
 * no id of Waybill's own (I1).
 *
 * Throws `WB_ENVELOPE_INVALID` where it says that it is Waybill's and is not readable, above all for a version that this
 * code does not know: such a message is kept, never dropped or guessed at.
 */
export function decodeEnvelope(arrival: Arrival, prefix: string): Envelope {
  const attributes = new Map<string, string>()
  const headers: [string, string][] = []
  let found: string | undefined
  let contentType: string | undefined
  for (const [name, value] of arrival.headers) {
    const known = name.toLowerCase()
    if (known === versionHeader) found = value
    else if (known === contentTypeHeader) contentType = value
    else if (known.startsWith(prefix)) attributes.set(known.slice(prefix.length), value)
    else headers.push([storable(name), storable(value)])
  }
  if (found !== undefined && found !== version) {
    throw invalid(
      `has envelope version "${found.slice(0, 20)}", which this version does not know: update it.`,
    )
  }
  const isOurs = found === version
  const key = arrival.key ?? attributes.get('partitionkey') ?? null
  return {
    id: isOurs ? ownId(attributes) : foreignId(attributes, arrival.place),
    channel: isOurs ? ownChannel(attributes) : foreignChannel(attributes, arrival.channels),
    key: key === null ? null : storable(key),
    payload: arrival.payload,
    contentType: storable(contentType ?? 'application/json'),
    headers: headersFrom(headers),
    createdAt: timeOf(attributes.get('time')) ?? arrival.time,
    ...(isOurs ? {} : { isForeign: true as const }),
  }
}

function ownId(attributes: ReadonlyMap<string, string>): string {
  const id = attributes.get('id') ?? ''
  if (!isUuid(id)) throw invalid('says that it is Waybill’s and its id is not a UUID.')
  // As the store writes it: an id that comes back in other letters would be taken for none that was admitted.
  return id.toLowerCase()
}

function ownChannel(attributes: ReadonlyMap<string, string>): string {
  const type = attributes.get('type') ?? ''
  if (type === '') throw invalid('says that it is Waybill’s and names no channel.')
  return type
}

function foreignId(attributes: ReadonlyMap<string, string>, place: Arrival['place']): string {
  const id = attributes.get('id') ?? ''
  const source = attributes.get('source') ?? ''
  return id !== '' && source !== '' ? foreignMessageId(source, id) : foreignMessageId(place.source, place.id)
}

/** Foreign types are not channel names: the address decides, and the type only where an address carries several. */
function foreignChannel(attributes: ReadonlyMap<string, string>, channels: readonly string[]): string {
  if (channels.length === 1) return channels[0]!
  const type = attributes.get('type')
  if (type !== undefined && channels.includes(type)) return type
  throw invalid('came from an address that carries several channels and names none of them.')
}

function isReserved(name: string, prefix: string): boolean {
  const known = name.toLowerCase()
  return known === versionHeader || known === contentTypeHeader || known.startsWith(prefix)
}

/** What others wrote may hold a NUL, which PostgreSQL cannot store: as a dead letter it would fail for ever. */
function storable(text: string): string {
  return text.replaceAll('\0', '\uFFFD')
}

function timeOf(text: string | undefined): Date | undefined {
  // RFC 3339 and nothing else that `Date` makes something of.
  if (text === undefined || !/^\d{4}-\d\d-\d\dT\d\d:\d\d/iu.test(text)) return undefined
  const time = new Date(text)
  return Number.isNaN(time.getTime()) ? undefined : time
}

function invalid(sentence: string): WaybillError {
  return new WaybillError('WB_ENVELOPE_INVALID', `The message ${sentence}`)
}
