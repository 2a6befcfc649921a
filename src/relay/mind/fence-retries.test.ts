import { expect, it } from 'vitest'
import { ByHand, confirmed, lease, row } from '../../../test/model/by-hand.ts'
import type { ChannelRules } from './types.ts'

const rules = { ordered: true, maxAttempts: 3, retry: { initialMs: 50, maxMs: 50 } } as const
const channels: ReadonlyMap<string, ChannelRules> = new Map([
  ['orders', { ...rules, form: 'fence' }],
  ['views', { ...rules, form: 'confirm', ordered: false }],
])
const orders = { partitions: [lease.partition], channels: ['orders'] }
const none = { partitions: [], channels: [] }

it('asks for no due retries where the fence is stopped: they would come with every read, and take the place of others', () => {
  const hand = new ByHand({ channels })
  expect(hand.asked().withoutRetries).toEqual(orders)
  hand.takesOver(null, { number: 1n })
  hand.mind.renewed([lease], 100_000)
  hand.mind.renewed([lease], 100_000)
  hand.decide()
  hand.take('fencingStopped')
  hand.read()
  hand.until('read')
  expect(hand.asked().withoutRetries).toEqual(orders)
  hand.read([row(5, null, { origin: 'retry', attempts: 1 })])
  expect(hand.send(confirmed)).toEqual(['m5'])
})

it('asks for them from the first read on whose rows the fence accepts', () => {
  const hand = new ByHand({ channels })
  hand.takesOver()
  expect(hand.asked().withoutRetries).toEqual(orders)
  hand.read([row(1, 'a', { origin: 'retry', attempts: 1 })])
  expect(hand.has('publishFenced')).toBe(false)
  expect(hand.asked().withoutRetries).toEqual(none)
  hand.read([row(1, 'a', { origin: 'retry', attempts: 1 })])
  expect(hand.publishes()).toEqual([1n, 'm1'])
})
