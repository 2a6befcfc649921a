import type { Dispatcher, FencedPublisher, OutboundMessage, Publisher } from '../ports/transport.ts'
import type { OutboxRow } from '../ports/outbox.ts'
import type { ChannelRules } from '../relay/mind/types.ts'
import type { RelayOptions } from '../relay/relay.ts'
import type { FencedSender, OnceResult, OnceSender, Sender } from '../relay/sender.ts'
import type { ChannelRoute } from './config.ts'
import type { Parts } from './relays.ts'
import type { Running } from './running.ts'

/** What a relay sends with, in each form that its channels have. */
export type Senders = Pick<RelayOptions, 'sender' | 'once' | 'onceTimeoutMs' | 'fenced'>

type AddressOf = (channel: string) => string

/** Opens what the forms of a broker's channels need, and nothing else. */
export async function openSenders(
  parts: Parts,
  transport: string,
  routes: readonly ChannelRoute[],
  forms: ReadonlyMap<string, ChannelRules['form']>,
  running: Running[],
): Promise<Senders> {
  const addresses = new Map(routes.map(({ channel, address }) => [channel.name, address]))
  const addressOf: AddressOf = (channel) => addresses.get(channel) ?? channel
  const used = new Set(forms.values())
  const closing = <T extends { close(): Promise<void> }>(opened: T): T => {
    running.push({
      stop: () => opened.close(),
      wake() {},
      status: () => ({ kind: 'transports', names: [transport] }),
    })
    return opened
  }
  const sender = publisherSender(closing(await parts.transports.publisher(transport)), addressOf)
  const once = used.has('take')
    ? dispatcherSender(closing(await parts.transports.dispatcher(transport)), addressOf)
    : undefined
  const fenced = used.has('fence')
    ? fencedSender(closing(await openFenced(parts, transport)), addressOf)
    : undefined
  return { sender, ...(once === undefined ? {} : { once }), ...(fenced === undefined ? {} : { fenced }) }
}

async function openFenced({ store, transports }: Parts, transport: string): Promise<FencedPublisher> {
  return await transports.fencedPublisher(transport, await store.schema.identity())
}

function publisherSender(publisher: Publisher, addressOf: AddressOf): Sender {
  return { send: (rows, timeoutMs) => publisher.publish(outbound(rows, addressOf), timeoutMs) }
}

function dispatcherSender(dispatcher: Dispatcher, addressOf: AddressOf): OnceSender {
  return {
    isReady: (channel, timeoutMs) => dispatcher.isReady(addressOf(channel), timeoutMs),
    ...(dispatcher.flush === undefined ? {} : { flush: (timeoutMs) => dispatcher.flush!(timeoutMs) }),
    async send(rows, timeoutMs) {
      const results = await dispatcher.dispatch(outbound(rows, addressOf), timeoutMs)
      return results.map((result): OnceResult =>
        result.outcome === 'dispatched' ? null : { cause: 'not-sent', code: result.code },
      )
    },
  }
}

function fencedSender(publisher: FencedPublisher, addressOf: AddressOf): FencedSender {
  return {
    takeOver: (partition, timeoutMs) => publisher.takeOver(partition, timeoutMs),
    release: (partition) => publisher.release(partition),
    publish(partition, note, rows, timeoutMs) {
      const messages = rows.map((row) => ({ envelope: row, address: addressOf(row.channel), seq: row.seq }))
      return publisher.publish(partition, note, messages, timeoutMs)
    },
  }
}

function outbound(rows: readonly OutboxRow[], addressOf: AddressOf): OutboundMessage[] {
  return rows.map((envelope) => ({ envelope, address: addressOf(envelope.channel) }))
}
