import { describe, expect, expectTypeOf, it } from 'vitest'
import { z } from 'zod'
import { defineChannel, type Channel, type RoutedChannel } from './channel.ts'

interface Order {
  readonly orderId: string
}

function refusal(code: string, text: string | RegExp): unknown {
  return expect.objectContaining({ code, message: expect.stringMatching(text) })
}

describe('defineChannel', () => {
  it('is at-least-once, unordered, and at an address of its own name unless told otherwise', () => {
    const channel = defineChannel({ name: 'orders.placed' })
    expect(channel).toMatchObject({ guarantee: 'at-least-once', ordered: false, address: 'orders.placed' })
    expect(channel.keyOf({})).toBeUndefined()
  })

  it('is ordered where it has a key, unless told otherwise', () => {
    const key = (order: Order): string => order.orderId
    const channel = defineChannel<Order>({ name: 'orders', key })
    expect(channel.ordered).toBe(true)
    expect(channel.keyOf({ orderId: 'o1' })).toBe('o1')
    expect(defineChannel<Order>({ name: 'orders', key, ordered: false }).ordered).toBe(false)
    expect(defineChannel<Order>({ name: 'orders', ordered: true }).ordered).toBe(true)
  })

  it('skips poison and keeps messages without end, unless told otherwise', () => {
    expect(defineChannel({ name: 'orders' })).toMatchObject({ onPoison: 'skip', expiresAfterMs: undefined })
    const told = { onPoison: 'park', expiresAfterMs: 60_000 } as const
    expect(defineChannel({ name: 'orders', ordered: true, ...told })).toMatchObject(told)
    expect(defineChannel({ name: 'orders', onPoison: 'skip' }).onPoison).toBe('skip')
  })

  it('routes itself over a transport of the configuration', () => {
    const channel = defineChannel({ name: 'orders' })
    expect(channel.via('kafka')).toEqual({ channel, transport: 'kafka' })
    expect(() => channel.via('')).toThrow(refusal('WB_INVALID_OPTION', 'name of a transport'))
  })

  it.each(['', '.', '..', 'a b', 'ä', 'a/b', 'a\0', 'x'.repeat(201), 7, undefined])(
    'refuses the name %j',
    (name) => {
      expect(() => defineChannel({ name } as { name: string })).toThrow(
        refusal('WB_INVALID_OPTION', 'a name of 1 to 200'),
      )
    },
  )

  it('takes a name of 200 characters', () => {
    expect(defineChannel({ name: 'x'.repeat(200) }).name).toHaveLength(200)
  })

  it.each([
    ['an unknown option', { guarante: 'exactly-once' }, /unknown option "guarante".*mean "guarantee"/u],
    ['a key that is no function', { key: 'orderId' }, 'must be a function'],
    ['an ordered that is no boolean', { ordered: 'yes' }, 'true or false'],
    ['a schema that is none', { schema: {} }, 'Standard Schema'],
    ['a schema that is null', { schema: null }, 'Standard Schema'],
    ['an empty address', { address: '' }, '1 to 249'],
    ['an address with NUL', { address: 'a\0' }, '1 to 249'],
    ['no attempts', { maxAttempts: 0 }, 'whole number'],
    ['half an attempt', { maxAttempts: 1.5 }, 'whole number'],
    ['an unknown policy', { ordered: true, onPoison: 'blok' }, /one of block, park, skip.*mean "block"/u],
    ['a key to hold where there is no order', { onPoison: 'park' }, 'give it a `key` and order'],
    ['a key to hold without an outbox', { ordered: true, outbox: false, onPoison: 'block' }, 'outbox'],
    [
      'a key to hold where nothing is tried twice',
      { ordered: true, guarantee: 'at-most-once', onPoison: 'block' },
      'sends nothing twice',
    ],
    ['an age of nothing', { expiresAfterMs: 0 }, 'whole number of milliseconds'],
    ['an age that is a text', { expiresAfterMs: '7d' }, 'whole number of milliseconds'],
    ['an age without an outbox to wait in', { outbox: false, expiresAfterMs: 1000 }, 'has none'],
  ])('refuses %s', (_what, options, text) => {
    expect(() => defineChannel({ name: 'orders', ...options } as { name: string })).toThrow(
      refusal('WB_INVALID_OPTION', text),
    )
  })

  it.each([
    ['a misspelt guarantee', { guarantee: 'exactly-onse' }, /mean "exactly-once"/u],
    ['an outbox that is no boolean', { outbox: 'no' }, '`outbox` must be'],
    ['exactly-once without the outbox', { guarantee: 'exactly-once', outbox: false }, 'needs the outbox'],
    ['a version 0', { version: 0 }, '`version` must be'],
    ['an upcast that is no function', { upcast: {} }, '`upcast` must be'],
    ['no guarantee at all', { guarantee: null }, 'is not a guarantee'],
    ['consumers in a list', { consumers: ['inbox'] }, '`consumers` must be'],
    ['consumers that are no object', { consumers: 'shipping' }, '`consumers` must be'],
    ['a consumer of no possible name', { consumers: { 'a b': 'inbox' } }, '"a b": a consumer has a name'],
    ['a consumer of no known form', { consumers: { shipping: 'inbx' } }, /"shipping".*mean "inbox"/u],
  ])('refuses %s', (_what, options, text) => {
    expect(() => defineChannel({ name: 'orders', ...options } as { name: string })).toThrow(
      refusal('WB_INVALID_OPTION', text),
    )
  })

  it('says whether it is stored, sent, or both', () => {
    const both = defineChannel({ name: 'a', guarantee: 'at-most-once' })
    expect(both).toMatchObject({ isStored: true, isSent: true })
    const exact = defineChannel<Order>({ name: 'b', guarantee: 'exactly-once' })
    expect(exact).toMatchObject({ isStored: true, isSent: false })
    expectTypeOf(exact).toEqualTypeOf<Channel<Order, Order, true, false>>()
    const direct = defineChannel<Order>({ name: 'c', outbox: false })
    expect(direct).toMatchObject({ isStored: false, isSent: true })
    expectTypeOf(direct).toEqualTypeOf<Channel<Order, Order, false, true>>()
    expectTypeOf(defineChannel({ name: 'd', schema: z.string(), outbox: false })).toEqualTypeOf<
      Channel<string, string, false, true>
    >()
  })

  it('takes its types from the schema, or from the type given', () => {
    const schema = z.object({ orderId: z.string(), total: z.string().transform(Number) })
    const typed = defineChannel({ name: 'a', schema, key: (order) => String(order.total) })
    expectTypeOf(typed).toEqualTypeOf<
      Channel<{ orderId: string; total: number }, { orderId: string; total: string }>
    >()
    expectTypeOf(defineChannel<Order>({ name: 'b' })).toEqualTypeOf<Channel<Order, Order>>()
    expectTypeOf(defineChannel({ name: 'c' })).toEqualTypeOf<Channel>()
    // Channels of any payload stand together in a configuration.
    expectTypeOf([typed.via('kafka'), defineChannel<Order>({ name: 'b' }).via('kafka')]).toExtend<
      RoutedChannel[]
    >()
  })
})

describe('the limit of a backlog', () => {
  it('refuses unless told to warn, and is none unless given', () => {
    expect(defineChannel({ name: 'a' }).backlogLimit).toBeUndefined()
    expect(defineChannel({ name: 'a', maxPending: 5 }).backlogLimit).toEqual({
      maxPending: 5,
      whenFull: 'refuse',
    })
    const warning = defineChannel({ name: 'a', maxPending: 5, whenFull: 'warn' })
    expect(warning.backlogLimit).toEqual({ maxPending: 5, whenFull: 'warn' })
  })

  it.each([
    [{ maxPending: 0 }, 'whole number from 1'],
    [{ maxPending: 1.5 }, 'whole number from 1'],
    [{ maxPending: '5' }, 'whole number from 1'],
    [{ maxPending: 2_000_000_000 }, 'whole number from 1'],
    [{ maxPending: 5, whenFull: 'refus' }, 'use one of refuse, warn'],
    [{ whenFull: 'warn' }, 'give that too'],
    [{ maxPending: 5, outbox: false }, 'this channel has none'],
  ])('refuses %o', (options, text) => {
    expect(() => defineChannel({ name: 'a', ...options } as { name: string })).toThrow(
      refusal('WB_INVALID_OPTION', text),
    )
  })
})
