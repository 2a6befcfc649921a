import { getEventListeners } from 'node:events'
import * as kafka from '@platformatic/kafka'
import { expect, it } from 'vitest'
import { silentLogger } from '../../kernel/logger.ts'
import { resolveOptions } from './options.ts'
import { KafkaSubscription } from './subscription.ts'
import type { TopicDesk } from './topic-desk.ts'

it('keeps nothing of its memberships when it joins anew', async () => {
  const { promise, resolve } = Promise.withResolvers<void>()
  /** How many listened for its end at each membership. */
  const listening: number[] = []
  const find: TopicDesk['find'] = async (_client, _topic, signal) => {
    if (listening.push(getEventListeners(signal, 'abort').length) === 4) resolve()
    return { partitions: 0, code: 'TOPIC_AUTHORIZATION_FAILED', reason: 'It may not.' }
  }
  const subscription = new KafkaSubscription({
    kafka,
    settings: resolveOptions({ brokers: ['nowhere:1'] }),
    applicationName: 'test',
    logger: silentLogger,
    topics: { find } as unknown as TopicDesk,
    request: {
      consumer: 'shipping',
      channels: [{ channel: 'orders', address: 'orders' }],
      onRevoked: () => {},
    },
    writer: undefined,
  })
  await promise
  await subscription.close()
  expect(listening.slice(0, 4)).toEqual([listening[0], listening[0], listening[0], listening[0]])
})
