import { randomUUID } from 'node:crypto'
import type { CommitResult, OutboundMessage, Subscription, Transport } from '../../../src/ports/transport.ts'
import type { Delivery } from '../../../src/ports/transport.ts'
import { until } from '../../../src/testing/until.ts'
import { committedOffsets, lastOf } from './broker-desk.ts'
import { messageTo, subscribe, textOf } from './scene.ts'

/** A member whose subscription has transactions. */
export function subscribeToTransform(
  transport: Transport,
  topic: string,
  consumer: string = randomUUID(),
): Promise<Subscription> {
  return subscribe(transport, [topic], { consumer, transforms: true })
}

/** One output for each delivery: its text and its key, to another topic. */
export function outputsOf(deliveries: readonly Delivery[], address: string): OutboundMessage[] {
  return deliveries.map((delivery) =>
    messageTo(address, delivery.envelope!.key, { payload: Buffer.from(textOf(delivery)) }),
  )
}

/** Commits the positions of these deliveries with one output for each. */
export function transformTo(
  subscription: Subscription,
  deliveries: readonly Delivery[],
  address: string,
  timeoutMs = 20_000,
): Promise<CommitResult> {
  return subscription.commit!(lastOf(deliveries), outputsOf(deliveries, address), timeoutMs)
}

/** Resolves when the group has this position: a moment after a transaction's commit the broker may still tell the old one. */
export function committedUpTo(
  brokers: readonly string[],
  consumer: string,
  topic: string,
  position: bigint,
): Promise<unknown> {
  return until(`position ${position}`, async () => {
    const [found] = await committedOffsets(brokers, consumer, topic, 1)
    return found === position
  })
}
