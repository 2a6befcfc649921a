import type { ChannelRoute } from '../app/config.ts'
import { WaybillError } from '../kernel/errors.ts'
import { newMessageId } from '../kernel/ids.ts'
import { didYouMean } from '../kernel/suggest.ts'
import { makeMessages } from '../outbox/messages.ts'
import type { CheckMessage } from './idempotency-protocol.ts'

export interface ExampleMessage extends CheckMessage {
  /** The payload as it stands in its line: what a schema takes, while `payload` is what it makes of that. */
  readonly given: unknown
}

export interface ReadMessages {
  readonly byChannel: ReadonlyMap<string, readonly ExampleMessage[]>
  /** How many were of channels that nobody wants, by their names. */
  readonly leftOut: ReadonlyMap<string, number>
}

const fields = ['id', 'channel', 'key', 'payload', 'headers', 'createdAt'] as const

/**
 * Reads lines such as `{"channel": "orders.placed", "payload": {…}, "key": "c-1"}`, each checked as `publish` checks it; `channel`
 * may be left out where only one is `wanted`, and id, key, headers and createdAt always. By channel. One file may be for all of a
 * service: those of its other channels are counted, and not looked at.
 *
 * Throws `WB_INVALID_OPTION`, or what `publish` would throw, naming the line and never its content.
 */
export async function readMessages(
  text: string,
  routes: ReadonlyMap<string, ChannelRoute>,
  wanted: readonly string[],
): Promise<ReadMessages> {
  const names = new Set(wanted)
  const messages = new Map<string, ExampleMessage[]>()
  const leftOut = new Map<string, number>()
  for (const [index, line] of text.split('\n').entries()) {
    if (line.trim() === '') continue
    const where = `line ${index + 1} of the messages`
    const given = parse(line, where)
    const channel = given['channel'] ?? (names.size === 1 ? [...names][0] : undefined)
    if (typeof channel !== 'string' || !routes.has(channel)) {
      const hint = typeof channel === 'string' ? didYouMean(channel, routes.keys()) : ''
      throw refuse(
        `${where} names no channel of the configuration (${[...routes.keys()].join(', ')}).${hint}`,
      )
    }
    if (!names.has(channel)) {
      leftOut.set(channel, (leftOut.get(channel) ?? 0) + 1)
      continue
    }
    messages.set(channel, [
      ...(messages.get(channel) ?? []),
      await complete(given, routes.get(channel)!, where),
    ])
  }
  return { byChannel: messages, leftOut }
}

/** For people; `undefined` where none was left out. */
export function leftOutSentence({ leftOut }: Pick<ReadMessages, 'leftOut'>): string | undefined {
  if (leftOut.size === 0) return undefined
  const counts = [...leftOut].map(([channel, count]) => `${count} of ${channel}`).join(', ')
  return `Messages of channels that were not asked for, or have no handler here, are left out: ${counts}.`
}

/** Throws `WB_INVALID_OPTION` where a channel has no example. */
export function refuseWithout(messages: ReadonlyMap<string, unknown>, wanted: readonly string[]): void {
  const without = wanted.find((name) => !messages.has(name))
  if (without !== undefined) throw refuse(`there is no message for channel "${without}".`)
}

function parse(line: string, where: string): Readonly<Record<string, unknown>> {
  let value: unknown
  try {
    value = JSON.parse(line) as unknown
  } catch {
    throw refuse(`${where} is not JSON: give one object a line.`)
  }
  if (typeof value !== 'object' || value === null || !('payload' in value)) {
    throw refuse(`${where} has no "payload": {"channel": "orders.placed", "payload": {…}}.`)
  }
  const unknown = Object.keys(value).find((name) => !fields.some((known) => known === name))
  if (unknown !== undefined)
    throw refuse(`${where} has an unknown field "${unknown}".${didYouMean(unknown, fields)}`)
  return value
}

async function complete(
  given: Readonly<Record<string, unknown>>,
  target: ChannelRoute,
  where: string,
): Promise<ExampleMessage> {
  const { id = newMessageId(), key, payload, headers, createdAt = new Date().toISOString() } = given
  const isTime = typeof createdAt === 'string' && Number.isFinite(Date.parse(createdAt))
  if (!isTime) throw refuse(`${where} has a "createdAt" that is no time such as 2026-01-31T12:00:00Z.`)
  const options = {
    id: id as string,
    ...(key === undefined || key === null ? {} : { key: key as string }),
    ...(headers === undefined ? {} : { headers: headers as Readonly<Record<string, string>> }),
  }
  const { messages } = await makeMessages({ target, payload, options })
  const made = messages[0]!
  return {
    id: made.id,
    channel: target.channel.name,
    key: made.key,
    payload: JSON.parse(Buffer.from(made.payload).toString('utf8')),
    given: payload,
    headers: made.headers,
    createdAt,
  }
}

function refuse(sentence: string): WaybillError {
  return new WaybillError('WB_INVALID_OPTION', `Cannot use --messages: ${sentence}`)
}
