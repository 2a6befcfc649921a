import { defineChannel, type Channel } from '../../src/index.ts'

/** By channel. */
export interface TransformTopics {
  readonly orders: string
  readonly labels: string
  readonly bills: string
}

type Numbers = Channel<number, number, true, false>

/** The same for the service and its test. */
export function transformChannels(topics: TransformTopics): {
  readonly orders: Numbers
  readonly labels: Numbers
  readonly bills: Numbers
} {
  const numbers = (name: keyof TransformTopics): Numbers =>
    defineChannel<number>({ name, address: topics[name], guarantee: 'exactly-once' })
  return { orders: numbers('orders'), labels: numbers('labels'), bills: numbers('bills') }
}
