import { silentLogger } from '../../../../src/kernel/logger.ts'
import type { Delivery } from '../../../../src/ports/transport.ts'
import type { KafkaTransportOptions } from '../../../../src/transports/kafka/options.ts'
import { kafkaTransport } from '../../../../src/transports/kafka/transport.ts'

/** A member of a group in a process of its own, which a test can stop: it receives, and settles or asks whether it
 * holds its stream still when it is told to. */
export interface MemberTask {
  readonly options: KafkaTransportOptions
  readonly topic: string
  readonly consumer: string
  /** So many are received before it says `received`. */
  readonly count: number
}

const task = JSON.parse(process.argv[2]!) as MemberTask
const transport = kafkaTransport(task.options).open({
  logger: silentLogger,
  applicationName: 'member',
  source: '/member',
})
const subscription = await transport.subscribe!({
  consumer: task.consumer,
  channels: [{ channel: task.topic, address: task.topic }],
  onRevoked: () => {},
})
const deliveries: Delivery[] = []
while (deliveries.length < task.count) {
  deliveries.push(...(await subscription.receive(100, new AbortController().signal)))
}
process.on('message', (told) => {
  const last = deliveries.at(-1)!
  if (told === 'hold') {
    void subscription.stillHolds!(last).then((holds) => process.send!({ holds }))
    return
  }
  void subscription.settle([last]).then(
    ([isTaken]) => process.send!({ settled: isTaken }),
    () => process.send!({ settled: 'not answered' }),
  )
})
process.send!({ received: deliveries.length })
