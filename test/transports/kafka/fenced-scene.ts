import { randomUUID } from 'node:crypto'
import { Connection, initProducerIdV5 } from '@platformatic/kafka'
import { onTestFinished } from 'vitest'
import type { FencedMessage, FencedOutcome, FencedPublisher } from '../../../src/ports/transport.ts'
import { until } from '../../../src/testing/until.ts'
import { kafkaErrorName } from '../../../src/transports/kafka/kafka-error.ts'
import type { KafkaTransportOptions } from '../../../src/transports/kafka/options.ts'
import { java, messageTo, openTransport } from './scene.ts'

/** What two publishers of one service share; another call is another service. */
export function service(): Pick<KafkaTransportOptions, 'transactionalIdPrefix' | 'positionsTopic'> {
  const name = randomUUID()
  return { transactionalIdPrefix: `prefix-${name}`, positionsTopic: `positions-${name}` }
}

export async function openFencedPublisher(
  brokers: readonly string[],
  options: Partial<KafkaTransportOptions>,
): Promise<FencedPublisher> {
  return openTransport(brokers, options).openFencedPublisher!(randomUUID())
}

/** Rows from `from`, with their numbers as payloads, over the keys in turn. */
export function rowsTo(
  topic: string,
  from: number,
  count: number,
  keys: readonly (string | null)[] = ['a', 'b', 'c'],
): FencedMessage[] {
  return Array.from({ length: count }, (_, i) => ({
    ...messageTo(topic, keys[i % keys.length]!, { payload: Buffer.from(String(from + i)) }),
    seq: BigInt(from + i),
  }))
}

export function rowsOf(messages: readonly FencedMessage[]): { seq: bigint; id: string }[] {
  return messages.map(({ seq, envelope }) => ({ seq, id: envelope.id }))
}

export function outcomeOf(outcome: FencedOutcome): string {
  return outcome.outcome === 'unknown' ? `unknown: ${outcome.code}` : outcome.outcome
}

/**
 * The first `count` messages that Java's console consumer sees of a topic in read_committed: keys and payloads. Where the last of
 * them is the last that was committed in its only partition, these are all there are up to it.
 */
export async function seenByJava(
  brokers: readonly string[],
  topic: string,
  count: number,
): Promise<{ key: string; text: string }[]> {
  const printed = await java('consumer.ConsoleConsumer', [
    ...['--bootstrap-server', brokers[0]!, '--topic', topic, '--from-beginning'],
    ...['--isolation-level', 'read_committed', '--max-messages', String(count), '--timeout-ms', '30000'],
    ...['--formatter-property', 'print.key=true'],
  ])
  return printed
    .split('\n')
    .filter((line) => line.includes('\t'))
    .map((line) => {
      const [key, text] = line.split('\t')
      return { key: key!, text: text! }
    })
}

/** What a successor asks of the broker first: the id, with whatever is open under it aborted. */
export async function fenceAt(port: number, transactionalId: string): Promise<void> {
  const connection = new Connection('test')
  onTestFinished(() => connection.close())
  await connection.connect('127.0.0.1', port)
  await until('a fence', () =>
    initProducerIdV5.api.async(connection, transactionalId, 60_000, -1n, -1).catch((error: unknown) => {
      if (kafkaErrorName(error) !== 'CONCURRENT_TRANSACTIONS') throw error
      return undefined
    }),
  )
}
