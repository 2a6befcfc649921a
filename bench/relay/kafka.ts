import { randomUUID } from 'node:crypto'
import { Admin, type MessageToProduce, ProduceAcks, Producer } from '@platformatic/kafka'
import { kafkaTransport } from '../../src/kafka.ts'
import { attributeNames, encodeHeaders } from '../../src/kernel/cloudevents.ts'
import { type Envelope, headersFrom } from '../../src/kernel/message.ts'
import { bucketOf, murmur2 } from '../../src/transports/kafka/partitioner.ts'
import { fill, mustBeEmpty, settle } from '../fill.ts'
import { arrived } from '../wire.ts'
import type { Environment, Runs } from './environment.ts'
import { keptOpen } from './kept-open.ts'
import { channelName, openOutbox, payload } from './outbox.ts'

const messages = 120_000
/** Before the clock starts: topic and connections are made, and both sides run compiled code. */
const warmUp = 20_000
const batch = 1000
/** Of a topic that the transport makes. */
const partitions = 4
/** Sends under way at once: what the relay has too. */
const side = 4

/** The same records into a topic of their own, acks=all: from a full outbox, and from memory by the client alone. */
export const kafkaRuns: Runs = { 'relay into Kafka': relayAll, 'client alone': sendAll }

async function relayAll(environment: Environment): Promise<{ readonly rate: number }> {
  const { pool, brokers, sized } = environment
  const count = sized(messages)
  const address = `bench-${randomUUID()}`
  await using transport = keptOpen(kafkaTransport({ brokers, partitionsPerTopic: partitions }))
  await using outbox = await openOutbox(environment, { transport: transport.definition, address })
  const drain = async (rows: number): Promise<number> => {
    await fill(pool, { channel: channelName, messages: rows, keys: 10_000 })
    await settle(pool, 'waybill.outbox')
    const drained = outbox.drained(rows)
    await outbox.waybill.start()
    const { rate } = await drained
    await outbox.waybill.stop()
    return rate
  }
  await drain(sized(warmUp))
  const rate = await drain(count)
  await mustBeEmpty(pool, 'waybill.outbox')
  await arrived(brokers, address, count + sized(warmUp))
  return { rate }
}

async function sendAll({ brokers, sized }: Environment): Promise<{ readonly rate: number }> {
  const count = sized(messages)
  const topic = `bench-${randomUUID()}`
  await createTopic(brokers, topic)
  const first = sized(warmUp)
  const records = Array.from({ length: first + count }, (_, n) => messageOf(topic, n))
  const producers = Array.from(
    { length: side },
    () =>
      new Producer({
        clientId: 'bench',
        bootstrapBrokers: [...brokers],
        acks: ProduceAcks.ALL,
        idempotent: true,
      }),
  )
  try {
    let next = 0
    const sendTo = async (end: number): Promise<void> => {
      const sends = producers.map(async (producer) => {
        while (next < end) {
          const from = next
          next = Math.min(next + batch, end)
          await producer.send({ messages: records.slice(from, next) })
        }
      })
      await Promise.all(sends)
    }
    await sendTo(first)
    const startedAt = performance.now()
    await sendTo(records.length)
    const seconds = (performance.now() - startedAt) / 1000
    await arrived(brokers, topic, records.length)
    return { rate: count / seconds }
  } finally {
    await Promise.all(producers.map((producer) => producer.close(true)))
  }
}

async function createTopic(brokers: readonly string[], topic: string): Promise<void> {
  const admin = new Admin({ clientId: 'bench', bootstrapBrokers: [...brokers] })
  try {
    await admin.createTopics({ topics: [topic], partitions, replicas: 1 })
  } finally {
    await admin.close()
  }
}

type KafkaMessage = MessageToProduce<Buffer, Buffer, Buffer, Buffer>

/** What the transport would write, as the client takes it, ready before the clock starts. */
function messageOf(topic: string, n: number): KafkaMessage {
  const key = String(n % 10_000)
  const envelope: Envelope = {
    id: randomUUID(),
    channel: channelName,
    key,
    payload: value,
    contentType: 'application/json',
    headers: headersFrom([]),
    createdAt: new Date(),
  }
  const headers = encodeHeaders(envelope, '/waybill', names)
  return {
    topic,
    key: Buffer.from(key),
    value,
    headers: new Map(
      headers.map(([name, text]) => [once(name), variable.has(name) ? Buffer.from(text) : once(text)]),
    ),
    partition: bucketOf(murmur2(Buffer.from(key)), partitions),
  }
}

const value = Buffer.from(JSON.stringify(payload))
const names = attributeNames('ce_')
const variable = new Set([names.id, names.time, names.partitionkey])
const texts = new Map<string, Buffer>()

/** A buffer for each text that comes back in message after message. */
function once(text: string): Buffer {
  let bytes = texts.get(text)
  if (bytes === undefined) texts.set(text, (bytes = Buffer.from(text)))
  return bytes
}
