import { writeSync } from 'node:fs'
import { createWaybill, defineConfig } from '../../../src/index.ts'
import { kafkaTransport } from '../../../src/kafka.ts'
import { transformChannels, type TransformTopics } from '../transform-channels.ts'

/** A service without a store that makes two messages of each. */
export interface TransformerTask {
  readonly brokers: readonly string[]
  readonly topics: TransformTopics
  readonly consumer: string
}

const task = JSON.parse(process.argv[2]!) as TransformerTask
const { orders, labels, bills } = transformChannels(task.topics)
const waybill = createWaybill(
  defineConfig({
    transports: {
      kafka: kafkaTransport({ brokers: task.brokers, sessionTimeoutMs: 600, requestTimeoutMs: 2000 }),
    },
    channels: [orders, labels, bills],
    publishTimeoutMs: 1500,
    consumerBatchSize: 20,
    logLevel: 'warn',
  }),
  {},
)
let handled = 0
waybill.consume(
  orders,
  { consumer: task.consumer, transform: [labels, bills] },
  async ({ payload, key }, { emit }) => {
    await emit(labels, payload, { key: key! })
    // So that it lasts long enough to be killed in the middle.
    if (payload % 10 === 0) await new Promise((resolve) => setTimeout(resolve, 10))
    void emit(bills, payload, { key: key! })
    handled += 1
    if (handled % 50 === 0) writeSync(1, `handled ${handled}\n`)
  },
)
await waybill.run()
