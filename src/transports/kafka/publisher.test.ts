import { describe, expect, it, onTestFinished } from 'vitest'
import { newMessageId } from '../../kernel/ids.ts'
import { headersFrom } from '../../kernel/message.ts'
import type { OutboundMessage } from '../../ports/transport.ts'
import type { ProduceLog } from './produce-log.ts'
import { KafkaPublisher } from './publisher.ts'
import type { TopicDesk, TopicState } from './topic-desk.ts'
import type { WatchedProducer } from './watched-producer.ts'

interface Sent {
  readonly topic: string
  readonly partition: number
}

/** A publisher to a broker that takes everything, of topics that are there or not. */
function setUp() {
  const states = new Map<string, TopicState>()
  const sent: Sent[] = []
  const topics: Pick<TopicDesk, 'look'> = {
    async look(_client, topic, onTrouble) {
      const state = states.get(topic)
      if (state === undefined) onTrouble('LEADER_NOT_AVAILABLE')
      return state
    },
  }
  const makeProducer = () => {
    let log: ProduceLog
    const client = {
      async send({ messages }: { readonly messages: readonly Sent[] }) {
        log.begin(messages)
        sent.push(...messages)
        const responses = messages.map(({ topic: name, partition: index }) => ({
          name,
          partitionResponses: [{ index, errorCode: 0 }],
        }))
        log.answer({ responses })
      },
      close: async () => {},
    }
    return { client, watch: (next: ProduceLog) => (log = next) } as unknown as WatchedProducer
  }
  const publisher = new KafkaPublisher({
    makeProducer,
    topics: topics as TopicDesk,
    maxBytes: 1_000_000,
    source: '/test',
  })
  onTestFinished(() => publisher.close())
  return { publisher, sent, there: (topic: string) => states.set(topic, { partitions: 1 }) }
}

function messageTo(address: string, key: string): OutboundMessage {
  const envelope = {
    id: newMessageId(),
    channel: address,
    key,
    payload: Buffer.from('{}'),
    contentType: 'application/json',
    headers: headersFrom([]),
    createdAt: new Date(),
  }
  return { address, envelope }
}

/** Longer than any of these tests. */
const longMs = 600_000

describe('a topic that has no leader', () => {
  it('keeps no message of another topic waiting, before it or behind it (O2)', async () => {
    const { publisher, sent, there } = setUp()
    there('well')
    const keys = ['a', 'b', 'c', 'd']
    const led = publisher.publish(
      keys.map((key) => messageTo('ill', key)),
      longMs,
    )
    const mixed = publisher.publish([messageTo('ill', 'e'), messageTo('well', 'e')], longMs)
    const fates = await publisher.publish(
      keys.map((key) => messageTo('well', key)),
      longMs,
    )
    expect(fates).toEqual(keys.map(() => ({ outcome: 'confirmed' })))
    expect(new Set(sent.map(({ topic }) => topic))).toEqual(new Set(['well']))
    there('ill')
    expect(new Set((await Promise.all([led, mixed])).flat().map(({ outcome }) => outcome))).toEqual(
      new Set(['confirmed']),
    )
  })

  it('has what it is given meanwhile go behind what waits', async () => {
    const { publisher, there } = setUp()
    const ends: string[] = []
    const publish = async (name: string): Promise<void> => {
      await publisher.publish([messageTo('ill', 'a')], longMs)
      ends.push(name)
    }
    const all = ['first', 'second', 'third'].map((name) => publish(name))
    // Another topic's answer tells that the lane has looked.
    there('well')
    await publisher.publish([messageTo('well', 'a')], longMs)
    const late = publish('late')
    there('ill')
    await Promise.all([...all, late])
    expect(ends).toEqual(['first', 'second', 'third', 'late'])
  })

  it('costs its own messages alone when their time is over, and says what is wrong', async () => {
    const { publisher, sent, there } = setUp()
    there('well')
    const fates = await publisher.publish([messageTo('ill', 'a'), messageTo('well', 'a')], 50)
    expect(fates).toEqual([
      expect.objectContaining({
        outcome: 'rejected',
        scope: 'destination',
        retryable: true,
        code: 'LEADER_NOT_AVAILABLE',
      }),
      { outcome: 'confirmed' },
    ])
    there('ill')
    expect(await publisher.publish([messageTo('ill', 'a')], longMs)).toEqual([{ outcome: 'confirmed' }])
    // What was given up has not left after all.
    expect(sent.filter(({ topic }) => topic === 'ill')).toHaveLength(1)
  })
})
