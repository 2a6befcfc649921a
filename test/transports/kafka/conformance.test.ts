import { beforeAll, describe, it } from 'vitest'
import type { ConformanceCase } from '../../../src/testing/conformance/case.ts'
import { subscriptionCases } from '../../../src/testing/conformance/subscription-cases.ts'
import { transportConformance } from '../../../src/testing/conformance/transport.ts'
import type { TransportConformanceOptions } from '../../../src/testing/conformance/transport-scene.ts'
import { freePort } from '../../../src/testing/ports.ts'
import type { KafkaTransportOptions } from '../../../src/transports/kafka/options.ts'
import { kafkaTransport } from '../../../src/transports/kafka/transport.ts'
import { isFull } from '../../setup/full.ts'
import { describeWithKafka, kafkaBrokers } from '../../setup/servers.ts'
import { createTopic } from './broker-desk.ts'

describeWithKafka('the Kafka transport', () => {
  const brokers = { there: ['later:1'], nowhere: ['later:1'] }

  beforeAll(async () => {
    brokers.there = await kafkaBrokers()
    brokers.nowhere = [`127.0.0.1:${await freePort()}`]
  })

  // Where they are is known when a case opens it, and not yet when the cases are listed.
  const optionsOf = (own: Partial<KafkaTransportOptions>): TransportConformanceOptions => {
    const at = (which: keyof typeof brokers): TransportConformanceOptions['transport'] => ({
      ...kafkaTransport({ brokers: brokers[which], ...own }),
      open: (context) => kafkaTransport({ brokers: brokers[which], ...own }).open(context),
    })
    return {
      transport: at('there'),
      unreachable: at('nowhere'),
      newAddress: () => createTopic(brokers.there, 2),
    }
  }
  // What sends knows no group, and joining one takes a second with this protocol: which settlements count is what differs.
  const consuming = (options: TransportConformanceOptions): readonly ConformanceCase[] =>
    subscriptionCases(options).filter(({ name }) => isFull || name.includes('settle'))

  describe.each([
    ['classic', transportConformance],
    ['consumer', consuming],
  ] as const)('(%s protocol)', (groupProtocol, casesOf) => {
    it.each(casesOf(optionsOf({ groupProtocol })))('$name', ({ run }) => run())
  })
})
