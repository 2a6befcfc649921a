import { describe, expect, it } from 'vitest'
import { brokenDelivery, delivery, setUpConsumer } from '../../test/fakes/consumer.ts'
import { idOf } from '../../test/fakes/messages.ts'
import { CommitOutcomeUnknownError } from '../kernel/errors.ts'
import { defineChannel } from '../outbox/channel.ts'
import { until } from '../testing/until.ts'
import type { HandlerEntry } from './handler.ts'

const form = 'settle-first'

describe('an at-most-once consumer of a broker', () => {
  it('runs a message only after the broker has answered its settlement (I7)', async () => {
    const settledBefore: string[][] = []
    const { store, broker, consumer } = setUpConsumer({
      form,
      handle: () => void settledBefore.push([...broker.settled]),
    })
    broker.put(delivery('a', 0, 'A'), delivery('b', 1, 'B'))
    await consumer.start()
    await until('effects', () => store.effects.length === 2)
    expect(settledBefore).toEqual([['orders/0@1'], ['orders/0@1']])
    expect(store.commits).toBe(2)
    expect(store.handled.size).toBe(0)
  })

  it('does not run what the broker refused to settle, and runs it when it comes again', async () => {
    const { store, broker, consumer, events } = setUpConsumer({ form })
    broker.settleAnswers.push(false)
    broker.put(delivery('a', 0, 'A'), delivery('b', 1, 'B'))
    await consumer.start()
    await until('an event', () => events.some(({ type }) => type === 'unsettled'))
    expect(events).toContainEqual({ type: 'unsettled', consumer: 'shipping', count: 2 })
    expect(store.effects).toEqual([])
    broker.put(delivery('a', 0, 'A', 2), delivery('b', 1, 'B', 2))
    await until('effects', () => store.effects.length === 2)
    expect(store.effects).toEqual(['a', 'b'])
    expect(broker.requests).toHaveLength(1)
  })

  it('does not run what was settled without an answer, and gives its membership up: the answer may come late', async () => {
    const { store, broker, consumer, count } = setUpConsumer({ form })
    broker.settleErrors.push(new Error('no answer'))
    broker.put(delivery('a', 0, 'A'))
    await consumer.start()
    await until('a new membership', () => broker.requests.length === 2)
    expect([store.effects, broker.settled, count('unsettled')]).toEqual([[], [], 1])
    // Perhaps: it is counted before anything else is settled.
    await until('the count', () => store.losses.length > 0)
    expect(store.losses).toEqual([{ channel: 'orders', id: idOf('a'), cause: 'unanswered', code: 'Error' }])
    expect(broker.closed).toBe(1)
    // The broker had taken it: the new membership begins behind it.
    broker.put(delivery('b', 1, 'B', 1))
    await until('effects', () => store.effects.length > 0)
    expect(store.effects).toEqual(['b'])
  })

  it('runs what was settled although its stream was taken away meanwhile, where it has no key: nobody else will get it', async () => {
    const { store, broker, consumer } = setUpConsumer({ form })
    broker.onSettle = () => broker.requests[0]!.onRevoked(['orders/0'])
    broker.put(delivery('a', 0), delivery('b', 1, 'B'))
    await consumer.start()
    await until('effects and a loss', () => store.effects.length + store.losses.length === 2)
    expect(broker.settled).toEqual(['orders/0@1'])
    expect(store.effects).toEqual(['a'])
    // The stream's new owner may be at work on later ones of its key: losing it is allowed, breaking the order is not.
    expect(store.losses).toMatchObject([{ id: idOf('b'), cause: 'not-begun', code: 'WB_ABORTED' }])
  })

  it('loses what it has of a key when its stream is taken away, also what has begun: a later one may be done elsewhere', async () => {
    const gate = Promise.withResolvers<void>()
    const started = Promise.withResolvers<void>()
    const { store, broker, consumer } = setUpConsumer({
      form,
      handle: (name) => {
        if (name !== 'a1') return
        started.resolve()
        return gate.promise
      },
    })
    broker.put(delivery('a1', 0, 'A'), delivery('a2', 1, 'A'), {
      ...delivery('b', 0, 'B'),
      stream: 'orders/1',
    })
    await consumer.start()
    await started.promise
    broker.requests[0]!.onRevoked(['orders/0'])
    gate.resolve()
    await until('the rest', () => store.effects.length === 1 && store.losses.length === 2)
    expect(store.effects).toEqual(['b'])
    expect(store.losses).toMatchObject([
      { id: idOf('a1'), cause: 'handler-failed', code: 'WB_STORE_CONFLICT' },
      { id: idOf('a2'), cause: 'not-begun' },
    ])
  })

  it('asks the broker before a handler of a key and before its COMMIT: who was stopped has not heard of a new owner', async () => {
    const ran: string[] = []
    const { store, broker, consumer } = setUpConsumer({ form, handle: (name) => void ran.push(name) })
    broker.holdAnswers.push(false, true, false)
    broker.put(delivery('a', 0, 'A'), delivery('b', 1, 'B'), delivery('c', 2), delivery('d', 3, 'D'))
    await consumer.start()
    await until('the rest', () => store.effects.length === 2 && store.losses.length === 2)
    expect([ran, store.effects]).toEqual([
      ['b', 'c', 'd'],
      ['c', 'd'],
    ])
    expect(store.losses).toEqual([
      { channel: 'orders', id: idOf('a'), cause: 'not-begun', code: 'WB_STORE_CONFLICT' },
      { channel: 'orders', id: idOf('b'), cause: 'handler-failed', code: 'WB_STORE_CONFLICT' },
    ])
    // What has no key may run behind anything.
    expect(broker.heldAsked).toEqual(['orders/0@0', 'orders/0@1', 'orders/0@1', 'orders/0@3', 'orders/0@3'])
  })

  it('never runs one twice: a failure, a conflict and an unknown commit are losses, counted once each', async () => {
    const ran: string[] = []
    const { store, broker, consumer, events } = setUpConsumer({
      form,
      handle: (name) => {
        ran.push(name)
        if (name === 'bad') throw Object.assign(new Error('no stock'), { code: 'E_STOCK' })
        if (name === 'conflict') throw Object.assign(new Error('deadlock'), { code: '40P01' })
        if (name === 'unknown') {
          store.afterCommit.push(() => {
            throw new CommitOutcomeUnknownError('77', new Error('connection lost'))
          })
        }
      },
    })
    const names = ['bad', 'conflict', 'unknown', 'good']
    broker.put(...names.map((name, i) => delivery(name, i, 'A')))
    await consumer.start()
    await until('losses', () => store.losses.length === 3 && store.effects.includes('good'))
    expect(ran).toEqual(names)
    const lost = (name: string, code: string, cause = 'handler-failed') => {
      return { channel: 'orders', id: idOf(name), cause, code }
    }
    const losses = [
      lost('bad', 'E_STOCK'),
      lost('conflict', '40P01'),
      // Perhaps: its effect is there, and nobody knows (A5).
      lost('unknown', 'WB_COMMIT_OUTCOME_UNKNOWN', 'unanswered'),
    ]
    expect(store.losses).toEqual(losses)
    expect(events.filter(({ type }) => type === 'lost')).toEqual(
      losses.map((loss) => ({ type: 'lost', consumer: 'shipping', ...loss })),
    )
    expect([store.starts.size, store.dead.length]).toEqual([0, 0])
  })

  it('loses one that is past its time, and goes on behind it', async () => {
    const { store, broker, consumer } = setUpConsumer({
      form,
      handlerTimeoutMs: 1,
      handle: (name) => (name === 'slow' ? new Promise<void>(() => {}) : undefined),
    })
    broker.put(delivery('slow', 0, 'A'), delivery('b', 1, 'A'))
    await consumer.start()
    await until('effects', () => store.effects.includes('b'))
    expect(store.losses).toMatchObject([{ id: idOf('slow'), code: 'WB_TIMED_OUT' }])
  })

  it('settles no more while the store takes no losses, so that an outage costs one batch and not the stream', async () => {
    const { store, broker, consumer, clock, count } = setUpConsumer({ form, batchSize: 2 })
    store.isDown = true
    broker.put(...['a', 'b', 'c', 'd'].map((name, i) => delivery(name, i)))
    await consumer.start()
    await until('pauses', () => clock.slept.length > 6)
    expect(broker.settled).toEqual(['orders/0@1'])
    expect(count('lost')).toBe(2)
    store.isDown = false
    await until('effects', () => store.effects.length === 2)
    expect(store.effects).toEqual(['c', 'd'])
    expect(store.losses.map(({ id }) => id)).toEqual([idOf('a'), idOf('b')])
  })

  it('keeps as dead letters what could not be decoded or run at all: no handler has seen it', async () => {
    const { store, broker, consumer, count } = setUpConsumer({ form })
    const bad = delivery('bad', 1)
    const unreadable = { ...bad, envelope: { ...bad.envelope!, payload: new Uint8Array([123]) } }
    const stray = delivery('stray', 2)
    broker.put(
      brokenDelivery(0),
      unreadable,
      { ...stray, envelope: { ...stray.envelope!, channel: 'elsewhere' } },
      delivery('good', 3),
    )
    await consumer.start()
    await until('effects', () => store.effects.length === 1)
    expect(store.dead.map(({ errorCode }) => errorCode)).toEqual([
      'WB_ENVELOPE_INVALID',
      'WB_ENVELOPE_INVALID',
      'WB_UNKNOWN_CHANNEL',
    ])
    expect([count('dead'), count('lost'), store.losses.length]).toEqual([3, 0, 0])
  })

  it('loses what it cannot keep as a dead letter, for it will not come again', async () => {
    const { store, broker, consumer } = setUpConsumer({ form })
    store.canBury = false
    const bad = delivery('bad', 0)
    broker.put({ ...bad, envelope: { ...bad.envelope!, payload: new Uint8Array([123]) } })
    await consumer.start()
    await until('losses', () => store.losses.length === 1)
    expect(store.losses).toMatchObject([{ id: idOf('bad'), code: 'WB_STORE_FAILED' }])
  })

  it('does not settle past a broken delivery that it could not keep', async () => {
    const { store, broker, consumer, clock } = setUpConsumer({ form })
    store.canBury = false
    broker.put(brokenDelivery(0), delivery('a', 1))
    await consumer.start()
    await until('pauses', () => clock.slept.length > 3)
    expect([broker.settled, store.effects]).toEqual([[], []])
    store.canBury = true
    await until('effects', () => store.effects.length === 1)
    expect(store.dead).toHaveLength(1)
  })
})

describe('a stream that mixes the forms all the same', () => {
  const other = { channel: defineChannel({ name: 'audit', address: 'orders' }), handle: () => {} }

  it('is settled before anything of it is run', async () => {
    const settledBefore: string[][] = []
    const entry = {
      ...other,
      form: 'settle-after' as const,
      handle: () => void settledBefore.push([...broker.settled]),
    }
    const orders = { channel: defineChannel({ name: 'orders' }), form: 'settle-first' as const, handle() {} }
    const handlers = new Map<string, HandlerEntry>([
      ['orders', orders],
      ['audit', entry],
    ])
    const { broker, consumer } = setUpConsumer({ handlers })
    const one = delivery('a', 0)
    broker.put({ ...one, envelope: { ...one.envelope!, channel: 'audit' } })
    await consumer.start()
    await until('a run', () => settledBefore.length === 1)
    expect(settledBefore).toEqual([['orders/0@0']])
  })

  it('does not run an at-most-once message that somebody put where messages are run before they are settled', async () => {
    const audit = { ...other, channel: defineChannel({ name: 'audit' }), form: 'settle-after' as const }
    const ran: string[] = []
    const orders = {
      channel: defineChannel({ name: 'orders' }),
      form: 'settle-first' as const,
      handle: () => void ran.push('orders'),
    }
    const handlers = new Map<string, HandlerEntry>([
      ['orders', orders],
      ['audit', audit],
    ])
    const { store, broker, consumer } = setUpConsumer({ handlers })
    broker.put({ ...delivery('a', 0), stream: 'audit/0' })
    await consumer.start()
    await broker.settledUpTo('audit/0@0')
    expect(ran).toEqual([])
    expect(store.dead).toMatchObject([{ reason: 'unreadable', errorCode: 'WB_ENVELOPE_INVALID' }])
  })
})

describe('stopping an at-most-once consumer', () => {
  it('runs to the end what was settled, and settles no more', async () => {
    const gate = Promise.withResolvers<void>()
    const started = Promise.withResolvers<void>()
    const { store, broker, consumer } = setUpConsumer({
      form,
      batchSize: 2,
      handle: async (name) => {
        if (name !== 'a') return
        started.resolve()
        await gate.promise
      },
    })
    broker.put(...['a', 'b', 'c', 'd'].map((name, i) => delivery(name, i)))
    await consumer.start()
    await started.promise
    const stopped = consumer.stop()
    gate.resolve()
    await stopped
    expect(store.effects).toEqual(['a', 'b'])
    expect(broker.settled).toEqual(['orders/0@1'])
    expect(store.losses).toEqual([])
  })

  it('counts as lost what does not end in time, and what has not begun by then', async () => {
    const started = Promise.withResolvers<void>()
    const { store, broker, consumer } = setUpConsumer({
      form,
      stopTimeoutMs: 0,
      handle: () => {
        started.resolve()
        return new Promise<void>(() => {})
      },
    })
    broker.put(delivery('a', 0), delivery('b', 1))
    await consumer.start()
    await started.promise
    await consumer.stop()
    expect(store.effects).toEqual([])
    expect(store.losses).toMatchObject([
      { id: idOf('a'), cause: 'handler-failed', code: 'WB_ABORTED' },
      { id: idOf('b'), cause: 'not-begun', code: 'WB_ABORTED' },
    ])
  })
})
