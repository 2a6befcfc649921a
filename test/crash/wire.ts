import { Admin, Producer } from '@platformatic/kafka'
import { kafkaTransport } from '../../src/kafka.ts'
import { jsonLogger } from '../../src/kernel/logger.ts'
import type { SceneSettings } from './children/parts.ts'

/** Every copy of every message that a reader of the topic gets; nothing for the local transport, which has no wire. */
export async function readWire(
  settings: SceneSettings,
): Promise<readonly { readonly id: string; readonly key: string | null }[]> {
  const { brokers, topic } = settings
  if (brokers === null) return []
  const barriers = await writeBarriers(brokers, topic)
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
    while (barriers.size > 0) {
      const deliveries = await subscription.receive(1000, limit)
      if (limit.aborted) throw new Error(`the end of ${barriers.size} partitions could not be read`)
      for (const { envelope, raw } of deliveries) {
        if (envelope === null) throw new Error(`a record cannot be decoded: ${raw?.error}`)
        if (envelope.key === null || !barriers.delete(envelope.key)) {
          copies.push({ id: envelope.id, key: envelope.key })
        }
      }
    }
  } finally {
    await subscription.close()
    await transport.close()
  }
  return copies
}

/**
 * A record at the end of each partition, by its key. Counting offsets would not do: aborted records and the marks of
 * transactions have offsets too, and no reader gets them.
 */
async function writeBarriers(brokers: readonly string[], topic: string): Promise<Set<string>> {
  const client = { clientId: 'judge', bootstrapBrokers: [...brokers] }
  const admin = new Admin(client)
  const producer = new Producer(client)
  try {
    const metadata = await admin.metadata({ topics: [topic] })
    const count = metadata.topics.get(topic)?.partitionsCount ?? 0
    const keys = Array.from({ length: count }, (_, partition) => `the end of ${partition}`)
    await producer.send({
      acks: -1,
      messages: keys.map((key, partition) => ({
        topic,
        partition,
        key: Buffer.from(key),
        value: Buffer.from('null'),
      })),
    })
    return new Set(keys)
  } finally {
    await producer.close()
    await admin.close()
  }
}
