import { randomUUID } from 'node:crypto'
import { headersFrom } from '../../src/kernel/message.ts'
import type { Delivery, Subscription, TransportDefinition } from '../../src/ports/transport.ts'
import { noOpTransport } from '../no-op-transport.ts'
import { channelName, payload } from './outbox.ts'

const streams = 4

/** A transport that hands over so many messages from memory, and takes every settlement. */
export function noOpSource(messages: number): TransportDefinition {
  const none = noOpTransport()
  const deliveries = Array.from({ length: messages }, (_, n) => delivery(n))
  let next = 0
  const subscription: Subscription = {
    async receive(most, signal) {
      const from = next
      next = Math.min(deliveries.length, next + most)
      if (next > from) return deliveries.slice(from, next)
      if (!signal.aborted)
        await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }))
      return []
    },
    settle: async (positions) => positions.map(() => true),
    close: async () => {},
  }
  return {
    ...none,
    open: (context) => ({ ...none.open(context), subscribe: async () => subscription }),
  }
}

function delivery(n: number): Delivery {
  return {
    envelope: {
      id: randomUUID(),
      channel: channelName,
      key: String(n % 1000),
      payload: Buffer.from(JSON.stringify(payload)),
      contentType: 'application/json',
      headers: headersFrom([]),
      createdAt: new Date(),
    },
    raw: null,
    stream: `${channelName}/${n % streams}`,
    position: BigInt(Math.floor(n / streams)),
    assignment: 1,
  }
}
