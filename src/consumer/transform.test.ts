import { describe, expect, it } from 'vitest'
import { brokenDelivery, delivery, setUpConsumer, type ConsumerSetUp } from '../../test/fakes/consumer.ts'
import { idOf } from '../../test/fakes/messages.ts'
import { outputMessageId } from '../kernel/ids.ts'
import { defineChannel } from '../outbox/channel.ts'
import type { StandardSchema } from '../outbox/standard-schema.ts'
import { many } from '../outbox/many.ts'
import type { CommitResult, Delivery, OutboundMessage } from '../ports/transport.ts'
import { until } from '../testing/until.ts'
import { createTransformEntry, type Emit, type TransformHandler } from './transform-entry.ts'

const labels = defineChannel<string>({ name: 'labels', key: (label) => label })
const bills = defineChannel<string>({ name: 'bills' })
const other = defineChannel<string>({ name: 'other' })

type SetUp = Parameters<typeof setUpConsumer>[0] & { readonly transform?: TransformHandler<string> }

/** A consumer of `orders` that transforms, by default each into one label. */
function setUp({
  transform = ({ payload }, { emit }) => void emit(labels, payload),
  ...more
}: SetUp = {}): ConsumerSetUp {
  const targets = new Map(
    [labels, bills].map((channel) => [channel.name, { channel, address: channel.name, maxBytes: 100 }]),
  )
  const channel = defineChannel<string>({ name: 'orders', key: (name) => name })
  const handler = transform as TransformHandler
  const entry = createTransformEntry({ channel, form: 'transform', consumer: 'shipping', targets, handler })
  return setUpConsumer({ ...more, entry })
}

const rejected =
  (code: string, scope: 'message' | 'destination') =>
  (outputs: readonly OutboundMessage[]): CommitResult => ({
    outcome: 'rejected',
    fates: outputs.map(({ envelope }) => {
      const isBad = scope === 'destination' || JSON.parse(Buffer.from(envelope.payload).toString()) === 'bad'
      return { outcome: 'rejected', scope, retryable: false, code: isBad ? code : 'WB_ABORTED', reason: 'no' }
    }),
  })

describe('a consumer that transforms', () => {
  it('commits the outputs of what came together with its position, and neither writes to the store nor settles', async () => {
    const { store, broker, consumer, count } = setUp({
      transform: ({ payload }, { emit }) => {
        void emit(labels, payload)
        void emit(bills, many([`${payload}1`, `${payload}2`]))
      },
    })
    let settlements = 0
    broker.onSettle = () => void (settlements += 1)
    broker.put(delivery('a', 4, 'A'), delivery('b', 7, 'B'))
    await consumer.start()
    await broker.settledUpTo('orders/0@7')
    expect(broker.requests[0]!.transforms).toBe(true)
    expect(broker.committed).toEqual([
      { positions: ['orders/0@7'], outputs: ['a', 'a1', 'a2', 'b', 'b1', 'b2'] },
    ])
    expect(broker.outputs[0]).toMatchObject({ address: 'labels', envelope: { channel: 'labels', key: 'a' } })
    await until('the count', () => count('handled') === 1)
    await consumer.stop()
    expect([store.commits, store.rollbacks, store.handled.size, settlements]).toEqual([0, 0, 0, 0])
  })

  it('does not mix two streams in a transaction', async () => {
    const { broker, consumer } = setUp()
    broker.put(delivery('a', 0, 'A'), delivery('x', 0, 'X', 1, 'orders/1'), delivery('b', 1, 'B'))
    await consumer.start()
    await broker.settledUpTo('orders/1@0')
    await broker.settledUpTo('orders/0@1')
    expect(broker.committed).toEqual([
      { positions: ['orders/0@1'], outputs: ['a', 'b'] },
      { positions: ['orders/1@0'], outputs: ['x'] },
    ])
  })

  it('gives the same ids in each run, another for each output, and those that are given', async () => {
    const id = '01890a5d-ac96-774b-bcce-b302099a8057'
    let runs = 0
    const { broker, consumer } = setUp({
      transform: async ({ payload }, { emit, attempt }) => {
        const given = await emit(labels, payload, { id })
        const ids = await emit(bills, many(['1', '2']))
        expect([given, ids.length, attempt]).toEqual([id, 2, runs === 0 ? 1 : attempt])
        if (runs++ === 0) throw new Error('no')
      },
    })
    broker.put(delivery('a', 0, 'A'))
    await consumer.start()
    await broker.settledUpTo('orders/0@0')
    const expected = [0, 1].map((index) => outputMessageId('shipping', idOf('a'), 'bills', index))
    expect(broker.outputs.map(({ envelope }) => envelope.id)).toEqual([id, ...expected])
    expect(new Set(expected).size).toBe(2)
    expect(outputMessageId('billing', idOf('a'), 'bills', 0)).not.toBe(expected[0])
  })

  it('keeps the order of the calls where schemas take their time', async () => {
    const waiting: PromiseWithResolvers<void>[] = []
    const schema: StandardSchema<string, string> = {
      '~standard': {
        version: 1,
        vendor: 'test',
        validate: async (value) => {
          const turn = Promise.withResolvers<void>()
          waiting.push(turn)
          if (waiting.length === 2) for (const { resolve } of waiting.toReversed()) resolve()
          await turn.promise
          return { value: value as string }
        },
      },
    }
    const slow = defineChannel({ name: 'slow', schema })
    const targets = new Map([['slow', { channel: slow, address: 'slow', maxBytes: 100 }]])
    const handler: TransformHandler = (_, { emit }) => void (emit(slow, 'first'), emit(slow, 'second'))
    const channel = defineChannel<string>({ name: 'orders' })
    const entry = createTransformEntry({ channel, form: 'transform', consumer: 'shipping', targets, handler })
    const { broker, consumer } = setUpConsumer({ entry })
    broker.put(delivery('a', 0))
    await consumer.start()
    await broker.settledUpTo('orders/0@0')
    expect(broker.committed[0]!.outputs).toEqual(['first', 'second'])
    const ids = [0, 1].map((index) => outputMessageId('shipping', idOf('a'), 'slow', index))
    expect(broker.outputs.map(({ envelope }) => envelope.id)).toEqual(ids)
  })

  it('redoes a batch one by one where a handler throws, and stops the stream there until it succeeds', async () => {
    let failures = 2
    const { store, broker, consumer, count } = setUp({
      transform: async ({ payload }, { emit }) => {
        void emit(labels, payload)
        if (payload === 'bad' && failures-- > 0) throw new Error('no')
      },
    })
    broker.put(...['a', 'bad', 'c'].map((name, i) => delivery(name, i, name)))
    await consumer.start()
    await broker.settledUpTo('orders/0@2')
    expect(broker.committed).toEqual([
      { positions: ['orders/0@0'], outputs: ['a'] },
      { positions: ['orders/0@1'], outputs: ['bad'] },
      { positions: ['orders/0@2'], outputs: ['c'] },
    ])
    expect(count('failed')).toBe(1)
    expect(store.starts.get(idOf('bad'))).toBe(2)
  })

  it.each<[string, TransformHandler<string>]>([
    [
      'emits what is refused',
      ({ payload }, { emit }) => emitTo(emit, payload === 'bad' ? { not: () => {} } : payload),
    ],
    [
      'emits what is too large',
      ({ payload }, { emit }) => emitTo(emit, payload === 'bad' ? 'x'.repeat(101) : payload),
    ],
    [
      'emits to a channel it does not list',
      ({ payload }, { emit }) => void emit(payload === 'bad' ? other : labels, payload),
    ],
    [
      'misspells an option',
      ({ payload }, { emit }) =>
        void emit(labels, payload, payload === 'bad' ? ({ kye: 'k' } as object) : {}),
    ],
  ])('fails a message whose handler %s, awaited or not', async (_, transform) => {
    const { store, broker, consumer } = setUp({ transform, maxAttempts: 1 })
    broker.put(...['a', 'bad', 'c'].map((name, i) => delivery(name, i, name)))
    await consumer.start()
    await broker.settledUpTo('orders/0@2')
    expect(broker.committed.map(({ outputs }) => outputs)).toEqual([['a'], [], ['c']])
    expect(store.dead.map(({ envelope }) => envelope.id)).toEqual([idOf('bad')])
  })

  it('refuses what is emitted after the handler has ended', async () => {
    let late: Emit | undefined
    const { broker, consumer } = setUp({ transform: (_, { emit }) => void (late = emit) })
    broker.put(delivery('a', 0))
    await consumer.start()
    await broker.settledUpTo('orders/0@0')
    await expect(late!(labels, 'late')).rejects.toMatchObject({ code: 'WB_NOT_RUNNING' })
    expect(broker.committed).toEqual([{ positions: ['orders/0@0'], outputs: [] }])
  })

  it('gives up the message whose output the broker refuses, with a dead letter, and its position moves without outputs', async () => {
    const { store, broker, consumer } = setUp({ maxAttempts: 2 })
    // The batch, then twice alone.
    broker.commitAnswers.push(rejected('TOO_LARGE', 'message'), () => ({ outcome: 'committed' }))
    broker.commitAnswers.push(rejected('TOO_LARGE', 'message'), rejected('TOO_LARGE', 'message'))
    broker.put(...['a', 'bad', 'c'].map((name, i) => delivery(name, i, name)))
    await consumer.start()
    await broker.settledUpTo('orders/0@2')
    expect(broker.committed).toEqual([
      { positions: ['orders/0@0'], outputs: ['a'] },
      { positions: ['orders/0@1'], outputs: [] },
      { positions: ['orders/0@2'], outputs: ['c'] },
    ])
    expect(store.dead).toMatchObject([
      { errorCode: 'WB_PUBLISH_REJECTED', attempts: 2, reason: 'attempts-exhausted' },
    ])
  })

  it.each([0, 4])(
    'blames no message where nothing passes: it tries the same again, uncounted (%s alone)',
    async (cautious) => {
      const { store, broker, consumer, count } = setUp({ maxAttempts: 1, cautious })
      for (let i = 0; i < 5; i++) broker.commitAnswers.push(rejected('WB_BROKER_UNREACHABLE', 'destination'))
      broker.put(delivery('a', 0), delivery('b', 1))
      await consumer.start()
      await broker.settledUpTo('orders/0@1')
      expect(broker.committed.flatMap(({ outputs }) => outputs)).toEqual(['a', 'b'])
      // Of those that ran alone and ended, the store forgets it in time.
      expect([...store.starts.values()].filter((starts) => starts > 1)).toEqual([])
      expect([store.dead.length, count('unavailable')]).toEqual([0, 5])
    },
  )

  it.each<CommitResult>([{ outcome: 'refused' }, { outcome: 'unknown', code: 'X', reason: 'no answer' }])(
    'runs nothing of a stream any more whose transaction is $outcome, until it is assigned anew',
    async (answer) => {
      const runs: string[] = []
      const { broker, consumer, clock } = setUp({
        transform: ({ payload }, { emit }) => {
          runs.push(payload)
          return void emit(labels, payload)
        },
        batchSize: 1,
      })
      broker.commitAnswers.push(() => answer)
      broker.put(delivery('a', 0), delivery('b', 1))
      await consumer.start()
      await until('a pause', () => clock.slept.length > 0)
      broker.put(delivery('c', 2))
      broker.put(delivery('x', 0, null, 1, 'orders/1'))
      await broker.settledUpTo('orders/1@0')
      expect(runs).toEqual(['a', 'x'])
      broker.put(delivery('b', 1, null, 2), delivery('c', 2, null, 2))
      await broker.settledUpTo('orders/0@2')
      expect(runs).toEqual(['a', 'x', 'b', 'c'])
      expect(broker.committed.map(({ outputs }) => outputs)).toEqual([['x'], ['b'], ['c']])
    },
  )

  it('goes on with a new assignment that came before the answer to a transaction of the old one', async () => {
    const { broker, consumer } = setUp({ batchSize: 1 })
    broker.commitAnswers.push(async () => {
      broker.put(delivery('a', 0, null, 2), delivery('b', 1, null, 2))
      await until('the next ones', () => broker.asked.length > 2)
      return { outcome: 'refused' }
    })
    broker.put(delivery('a', 0))
    await consumer.start()
    await broker.settledUpTo('orders/0@1')
    expect(broker.committed.flatMap(({ outputs }) => outputs)).toEqual(['a', 'b'])
  })

  it('passes over what cannot be decoded with a dead letter, and only where all before it is done', async () => {
    let isDown = true
    const { store, broker, consumer, clock } = setUp({
      maxAttempts: 1000,
      transform: ({ payload }, { emit }) => {
        if (isDown) throw new Error('no')
        return void emit(labels, payload)
      },
    })
    const bad = delivery('bad', 1)
    const unreadable = { ...bad, envelope: { ...bad.envelope!, payload: new Uint8Array([123]) } }
    broker.put(delivery('a', 0), unreadable, brokenDelivery(2))
    await consumer.start()
    await until('retries', () => clock.slept.length > 20)
    expect([store.dead.length, broker.committed.length]).toEqual([0, 0])
    isDown = false
    await broker.settledUpTo('orders/0@2')
    expect(broker.committed).toEqual([
      { positions: ['orders/0@0'], outputs: ['a'] },
      { positions: ['orders/0@1'], outputs: [] },
      { positions: ['orders/0@2'], outputs: [] },
    ])
    expect(store.dead.map(({ envelope }) => envelope.id)[0]).toBe(idOf('bad'))
    expect(store.dead).toHaveLength(2)
  })

  it('writes the dead letter again where the position could not move past it', async () => {
    const { store, broker, consumer } = setUp()
    broker.commitAnswers.push(rejected('WB_BROKER_UNREACHABLE', 'destination'))
    broker.put(brokenDelivery(0), delivery('b', 1))
    await consumer.start()
    await broker.settledUpTo('orders/0@1')
    expect(broker.committed.map(({ outputs }) => outputs)).toEqual([[], ['b']])
    expect(store.dead).toHaveLength(1)
  })

  it('runs no message of another channel that somebody has put into its stream, nor one of its own elsewhere', async () => {
    const targets = new Map([['labels', { channel: labels, address: 'labels', maxBytes: 100 }]])
    const runs: string[] = []
    const orders = defineChannel<string>({ name: 'orders' })
    const handler: TransformHandler = ({ payload }) => void runs.push(`transform ${payload as string}`)
    const own = createTransformEntry({ channel: orders, form: 'transform', consumer: 'c', targets, handler })
    const notes = {
      channel: defineChannel<string>({ name: 'notes' }),
      form: 'inbox' as const,
      handle: ({ payload }: { payload: unknown }) => void runs.push(`note ${payload as string}`),
    }
    const handlers = new Map([own, notes].map((entry) => [entry.channel.name, entry]))
    const { store, broker, consumer } = setUpConsumer({ handlers })
    const note = (name: string, stream: string, position: number): Delivery => {
      const found = delivery(name, position, null, 1, stream)
      return { ...found, envelope: { ...found.envelope!, channel: 'notes' } }
    }
    broker.put(delivery('a', 0, null, 1, 'notes/0'), note('b', 'orders/0', 0))
    broker.put(note('c', 'notes/0', 1), delivery('d', 1))
    await consumer.start()
    await broker.settledUpTo('orders/0@1')
    await broker.settledUpTo('notes/0@1')
    expect(runs.toSorted()).toEqual(['note c', 'transform d'])
    expect(store.dead.map(({ envelope, reason }) => [envelope.id, reason])).toEqual(
      expect.arrayContaining([
        [idOf('a'), 'unreadable'],
        [idOf('b'), 'unreadable'],
      ]),
    )
  })

  it('goes on for ever with a message that fails where nothing can be given up', async () => {
    let failures = 50
    const { broker, consumer, count } = setUp({
      maxAttempts: Infinity,
      transform: ({ payload }, { emit }) => {
        if (failures-- > 0) throw new Error('no')
        return void emit(labels, payload)
      },
    })
    broker.put(delivery('a', 0))
    await consumer.start()
    await broker.settledUpTo('orders/0@0')
    expect(broker.committed[0]!.outputs).toEqual(['a'])
    expect(count('failed')).toBe(50)
  })
})

/** What the types would not let pass. */
function emitTo(emit: Emit, payload: unknown): void {
  void emit(labels, payload as string)
}
