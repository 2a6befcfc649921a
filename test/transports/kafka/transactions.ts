import { randomUUID } from 'node:crypto'
import { Consumer, Producer } from '@platformatic/kafka'
import { onTestFinished } from 'vitest'
import { java } from './scene.ts'

type TextProducer = Producer<string, string, string, string>
type TextTransaction = Awaited<ReturnType<TextProducer['beginTransaction']>>

/** Writes texts to one partition of a topic: in transactions of its own, or outside of them. */
export interface Writer {
  /** Each text is a batch of its own. */
  write(transaction: TextTransaction, ...texts: readonly string[]): Promise<void>
  begin(): Promise<TextTransaction>
  /** The transaction has the partition, and writes nothing to it. */
  touch(transaction: TextTransaction): Promise<void>
}

export function openWriter(brokers: readonly string[], topic: string): Writer {
  const producer: TextProducer = open(brokers, {
    transactionalId: `writer-${randomUUID()}`,
    // Without these the library takes 0 and 0 for a producer that is known already.
    producerId: -1n,
    producerEpoch: -1,
  })
  return {
    begin: () => producer.beginTransaction(),
    async write(transaction, ...texts) {
      for (const value of texts) {
        await transaction.send({ acks: -1, messages: [{ topic, partition: 0, key: 'k', value }] })
      }
    },
    async touch(transaction) {
      const metadata = await producer.metadata({ topics: [topic] })
      const nothing = { topic, partition: 0, value: Buffer.alloc(0) }
      await transaction.addPartitions(metadata, [nothing])
    },
  }
}

/** Writes outside of transactions, each text a batch of its own. */
export async function writePlainly(
  brokers: readonly string[],
  topic: string,
  ...texts: readonly string[]
): Promise<void> {
  const producer: TextProducer = open(brokers, {})
  for (const value of texts) {
    await producer.send({ acks: -1, messages: [{ topic, partition: 0, key: 'k', value }] })
  }
}

function open(brokers: readonly string[], options: object): TextProducer {
  const text = (value: string | undefined): Buffer => Buffer.from(value ?? '')
  const producer: TextProducer = new Producer({
    clientId: 'test',
    bootstrapBrokers: [...brokers],
    idempotent: true,
    retries: 500,
    retryDelay: 10,
    serializers: { key: text, value: text, headerKey: text, headerValue: text },
    ...options,
  })
  onTestFinished(() => producer.close(true))
  return producer
}

/** What Java's console consumer reads first as read_committed: as many as `count`, which it waits for. */
export async function readByJava(
  brokers: readonly string[],
  topic: string,
  count: number,
): Promise<string[]> {
  const printed = await java('consumer.ConsoleConsumer', [
    ...['--bootstrap-server', brokers[0]!, '--topic', topic, '--from-beginning'],
    ...['--isolation-level', 'read_committed', '--max-messages', String(count), '--timeout-ms', '30000'],
  ])
  return printed.split('\n').filter((line) => line !== '')
}

/** A transaction that has said, and not committed yet, that the group has read partition 0 up to `next`. */
export async function holdOffset(
  brokers: readonly string[],
  topic: string,
  groupId: string,
  next: bigint,
): Promise<TextTransaction> {
  const consumer = new Consumer({ clientId: 'test', bootstrapBrokers: [...brokers], groupId })
  const stream = await consumer.consume({
    ...{ topics: [topic], autocommit: false, mode: 'earliest' as const, sessionTimeout: 10_000 },
  })
  const producer = open(brokers, {
    transactionalId: `offsets-${randomUUID()}`,
    producerId: -1n,
    producerEpoch: -1,
  })
  const transaction = await producer.beginTransaction()
  for await (const message of stream) {
    if (message.offset < next - 1n) continue
    await transaction.addConsumer(consumer)
    await transaction.addOffset(message)
    break
  }
  await consumer.close(true)
  return transaction
}
