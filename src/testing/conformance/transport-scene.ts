import { randomUUID } from 'node:crypto'
import { newMessageId } from '../../kernel/ids.ts'
import { silentLogger } from '../../kernel/logger.ts'
import { type Envelope, headersFrom } from '../../kernel/message.ts'
import type {
  Delivery,
  OutboundMessage,
  SubscribeRequest,
  Subscription,
  Transport,
  TransportDefinition,
} from '../../ports/transport.ts'

export interface TransportConformanceOptions {
  /** As a configuration names it; each case opens it for itself. */
  readonly transport: TransportDefinition
  /** An address that nobody has used and that can be sent to; best one that is there before anybody subscribes to it. */
  readonly newAddress: () => Promise<string> | string
  /**
   * The same transport pointed to where nothing answers.
   * @default what it does then is not looked at
   */
  readonly unreachable?: TransportDefinition
  /** How long a case waits for anything, in milliseconds. @default 20000 */
  readonly timeoutMs?: number
}

/** What one case works with. */
export class TransportScene {
  readonly timeoutMs: number
  readonly #options: TransportConformanceOptions
  readonly #closing: (() => Promise<void>)[] = []
  readonly #over = new AbortController()

  constructor(options: TransportConformanceOptions) {
    this.#options = options
    this.timeoutMs = options.timeoutMs ?? 20_000
  }

  /** Aborts when the case is over: what an adapter does not end by itself would keep the test's process. */
  get over(): AbortSignal {
    return this.#over.signal
  }

  open(definition: TransportDefinition = this.#options.transport): Transport {
    const transport = definition.open({
      logger: silentLogger,
      applicationName: 'waybill conformance',
      source: '/conformance',
    })
    this.#closing.push(() => transport.close())
    return transport
  }

  async newAddress(): Promise<string> {
    return await this.#options.newAddress()
  }

  /** A member of `consumer`, of one that nobody has used where none is named. */
  async subscribe(
    transport: Transport,
    addresses: readonly string[],
    request: Partial<SubscribeRequest> = {},
  ): Promise<Subscription> {
    const subscription = await transport.subscribe!({
      consumer: newConsumer(),
      channels: addresses.map((address) => ({ channel: address, address })),
      onRevoked: () => {},
      ...request,
    })
    this.#closing.push(() => subscription.close())
    return subscription
  }

  /** Sends these by whatever the transport has for it, and sees that all of them are taken. */
  async send(transport: Transport, messages: readonly OutboundMessage[]): Promise<void> {
    if (transport.capabilities.confirms) {
      const publisher = await transport.openPublisher!()
      const fates = await publisher.publish(messages, this.timeoutMs)
      await publisher.close()
      const bad = fates.find(({ outcome }) => outcome !== 'confirmed')
      if (bad !== undefined) throw new Error(`Could not publish: ${JSON.stringify(bad)}`)
      return
    }
    const dispatcher = await transport.openDispatcher!()
    await dispatcher.dispatch(messages, this.timeoutMs)
    await dispatcher.close()
  }

  /**
   * So many deliveries or more; they are not settled. What came in an assignment that is over is left out: it comes again in the next
   * one, which brokers begin when they like.
   */
  async receive(subscription: Subscription, count: number): Promise<readonly Delivery[]> {
    let deliveries: readonly Delivery[] = []
    const signal = AbortSignal.timeout(this.timeoutMs)
    while (deliveries.length < count) {
      const next = await subscription.receive(500, signal)
      if (next.length === 0)
        throw new Error(`${deliveries.length} of ${count} messages came within ${this.timeoutMs} ms.`)
      deliveries = ofLastAssignment([...deliveries, ...next])
    }
    return deliveries
  }

  async clear(): Promise<void> {
    this.#over.abort()
    const closing = this.#closing.splice(0).toReversed()
    for (const close of closing) await close()
  }
}

function ofLastAssignment(deliveries: readonly Delivery[]): readonly Delivery[] {
  const last = new Map(deliveries.map(({ stream, assignment }) => [stream, assignment]))
  return deliveries.filter(({ stream, assignment }) => last.get(stream) === assignment)
}

export function newConsumer(): string {
  return `consumer-${randomUUID()}`
}

export function messageTo(
  address: string,
  key: string | null,
  more: Partial<Envelope> = {},
): OutboundMessage {
  const envelope: Envelope = {
    id: newMessageId(),
    channel: address,
    key,
    payload: new TextEncoder().encode('{}'),
    contentType: 'application/json',
    headers: headersFrom([]),
    createdAt: new Date(),
    ...more,
  }
  return { address, envelope }
}

/** `count` messages whose payloads count up from 0, over the keys in turn. */
export function messagesTo(
  address: string,
  keys: readonly (string | null)[],
  count: number,
): readonly OutboundMessage[] {
  return Array.from({ length: count }, (_, i) =>
    messageTo(address, keys[i % keys.length]!, { payload: new TextEncoder().encode(String(i)) }),
  )
}

interface Enveloped {
  readonly envelope: Envelope | null
}

export function idsOf(things: readonly Enveloped[]): readonly string[] {
  return things.map(({ envelope }) => envelope?.id ?? 'could not be decoded')
}

export function textOf({ envelope }: Enveloped): string {
  return new TextDecoder().decode(envelope?.payload)
}

/** Payloads in order, by key. */
export function textsByKey(things: readonly Enveloped[]): ReadonlyMap<string, readonly string[]> {
  const groups = Map.groupBy(things, ({ envelope }) => String(envelope?.key))
  return new Map([...groups].map(([key, own]) => [key, own.map(textOf)]))
}

/** The highest delivery of each stream, as one settles it. */
export function lastOf(deliveries: readonly Delivery[]): readonly Delivery[] {
  return [...new Map(deliveries.map((delivery) => [delivery.stream, delivery])).values()]
}
