import { kafkaTransport } from '../src/kafka.ts'
import { silentLogger } from '../src/kernel/logger.ts'

/** How many messages of a topic are there a second time. Reads until nothing has come for a second. */
export async function wireCopies(brokers: readonly string[], topic: string): Promise<number> {
  const transport = kafkaTransport({ brokers }).open({
    logger: silentLogger,
    applicationName: 'waybill bench',
    source: '/bench',
  })
  const subscription = await transport.subscribe!({
    consumer: `copies-${topic}`,
    channels: [{ channel: topic, address: topic }],
    onRevoked: () => {},
  })
  const seen = new Set<string>()
  let copies = 0
  let isFirst = true
  for (;;) {
    const deliveries = await subscription.receive(5000, AbortSignal.timeout(isFirst ? 20_000 : 1000))
    if (deliveries.length === 0) break
    isFirst = false
    for (const { envelope } of deliveries) {
      if (envelope === null) continue
      if (seen.has(envelope.id)) copies += 1
      seen.add(envelope.id)
    }
  }
  await subscription.close()
  await transport.close()
  return copies
}
