import { Consumer } from '@platformatic/kafka'
import { kafkaTransport } from '../src/kafka.ts'
import { silentLogger } from '../src/kernel/logger.ts'
import { until } from '../src/testing/until.ts'

/** Resolves when the broker has so many messages of a topic; rejects where it has not within half a minute. */
export async function arrived(brokers: readonly string[], topic: string, count: number): Promise<void> {
  const client = new Consumer({
    bootstrapBrokers: [...brokers],
    clientId: 'bench',
    groupId: `arrived-${topic}`,
  })
  const sum = async (): Promise<number> => {
    const offsets = (await client.listOffsets({ topics: [topic] })).get(topic)!
    return offsets.reduce((total, offset) => total + Number(offset), 0)
  }
  try {
    await until(`${count} messages at the broker`, async () => (await sum()) >= count, { everyMs: 20 })
  } finally {
    await client.close(true)
  }
}

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
