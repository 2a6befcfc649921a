import { kafkaTransport } from '../../src/kafka.ts'
import { jsonLogger } from '../../src/kernel/logger.ts'
import type { SceneSettings } from './children/parts.ts'

/** Every copy of every message that reached the topic; nothing for the local transport, which has no wire. */
export async function readWire(
  settings: SceneSettings,
): Promise<readonly { readonly id: string; readonly key: string | null }[]> {
  const { brokers, topic } = settings
  if (brokers === null) return []
  const total = await countRecords(brokers, topic)
  const transport = kafkaTransport({ brokers: [...brokers] }).open({
    logger: jsonLogger('error'),
    applicationName: 'judge',
    source: '/judge',
  })
  const subscription = await transport.subscribe!({
    consumer: `judge-${topic}`,
    channels: [{ channel: 'orders.placed', address: topic }],
    onRevoked: () => {},
  })
  const copies: { id: string; key: string | null }[] = []
  try {
    const limit = AbortSignal.timeout(20_000)
    while (copies.length < total) {
      const deliveries = await subscription.receive(1000, limit)
      if (limit.aborted) throw new Error(`only ${copies.length} of ${total} records could be read`)
      for (const { envelope, raw } of deliveries) {
        if (envelope === null) throw new Error(`a record cannot be decoded: ${raw?.error}`)
        copies.push({ id: envelope.id, key: envelope.key })
      }
    }
  } finally {
    await subscription.close()
    await transport.close()
  }
  return copies
}

async function countRecords(brokers: readonly string[], topic: string): Promise<number> {
  const { Admin } = await import('@platformatic/kafka')
  const admin = new Admin({ clientId: 'judge', bootstrapBrokers: [...brokers] })
  try {
    const metadata = await admin.metadata({ topics: [topic] })
    const partitions = metadata.topics.get(topic)?.partitionsCount ?? 0
    const indexes = Array.from({ length: partitions }, (_, partitionIndex) => ({
      partitionIndex,
      timestamp: -1n,
    }))
    const [answer] = await admin.listOffsets({ topics: [{ name: topic, partitions: indexes }] })
    return answer!.partitions.reduce((sum, { offset }) => sum + Number(offset), 0)
  } finally {
    await admin.close()
  }
}
