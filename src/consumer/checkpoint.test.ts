import { describe, expect, it } from 'vitest'
import { brokenDelivery, delivery, setUpConsumer } from '../../test/fakes/consumer.ts'
import { idOf } from '../../test/fakes/messages.ts'
import { CommitOutcomeUnknownError } from '../kernel/errors.ts'
import { until } from '../testing/until.ts'

const form = 'checkpoint'

describe('a consumer that keeps its positions with the effects', () => {
  it('moves the checkpoint in the transaction of the handlers, and writes no inbox row', async () => {
    const { store, broker, consumer } = setUpConsumer({ form })
    broker.put(delivery('a', 4, 'A'), delivery('b', 7, 'B'))
    await consumer.start()
    await broker.settledUpTo('orders/0@7')
    expect([store.effects, store.commits, store.handled.size]).toEqual([['a', 'b'], 1, 0])
    expect(store.checkpoints.kept).toEqual(new Map([['orders/0', { lineage: 'log', next: 8n }]]))
  })

  it('starts each stream where its checkpoint is, and skips what comes from before it all the same', async () => {
    const { store, broker, consumer, count } = setUpConsumer({ form })
    store.checkpoints.kept.set('orders/0', { lineage: 'log', next: 5n })
    broker.put(delivery('old', 4, 'A'), delivery('new', 5, 'A'))
    await consumer.start()
    await broker.settledUpTo('orders/0@5')
    expect(store.effects).toEqual(['new'])
    expect(count('duplicate')).toBe(1)
    expect(await broker.requests[0]!.startAt!(broker.streams)).toEqual(new Map([['orders/0', 6n]]))
  })

  it('stops the whole stream at a message that fails, and no other stream', async () => {
    let failures = 2
    const { store, broker, consumer } = setUpConsumer({
      form,
      handle: (name) => {
        if (name === 'bad' && failures-- > 0) throw new Error('no')
      },
    })
    broker.put(
      ...['a', 'bad', 'c'].map((name, i) => delivery(name, i, name)),
      delivery('x', 0, 'x', 1, 'orders/1'),
    )
    await consumer.start()
    await until('all of it', () => store.effects.length === 4)
    expect(store.effects.filter((name) => name !== 'x')).toEqual(['a', 'bad', 'c'])
    expect(store.effects.indexOf('x')).toBeLessThan(store.effects.indexOf('bad'))
  })

  it('moves it with the dead letter, in one transaction, and goes on', async () => {
    const { store, broker, consumer } = setUpConsumer({
      form,
      maxAttempts: 1,
      handle: (name) => {
        if (name === 'bad') throw new Error('no')
      },
    })
    broker.put(brokenDelivery(0), delivery('bad', 1, 'A'), delivery('b', 2, 'B'))
    await consumer.start()
    await broker.settledUpTo('orders/0@2')
    expect(store.effects).toEqual(['b'])
    expect(store.dead.map(({ errorCode }) => errorCode)).toEqual(['WB_ENVELOPE_INVALID', 'Error'])
    expect(store.commits).toBe(3)
    expect(store.checkpoints.next('orders/0')).toBe(3n)
  })

  it('makes no dead letter of a message while one before it is not done: that would leave a hole', async () => {
    let isDown = true
    const { store, broker, consumer, clock } = setUpConsumer({
      form,
      maxAttempts: 1000,
      handle: (name) => {
        if (name === 'a' && isDown) throw new Error('no')
      },
    })
    const bad = delivery('bad', 1, 'B')
    broker.put(
      delivery('a', 0, 'A'),
      { ...bad, envelope: { ...bad.envelope!, payload: new Uint8Array([123]) } },
      brokenDelivery(2),
    )
    await consumer.start()
    await until('retries', () => clock.slept.length > 20)
    expect([store.dead.length, store.checkpoints.kept.size]).toEqual([0, 0])
    isDown = false
    await broker.settledUpTo('orders/0@2')
    expect(store.effects).toEqual(['a'])
    expect(store.dead).toHaveLength(2)
  })

  it('learns from the checkpoint what became of a commit whose answer was lost', async () => {
    const lost = (): never => {
      throw new CommitOutcomeUnknownError('77', new Error('connection lost'))
    }
    const { store, broker, consumer } = setUpConsumer({ form })
    store.afterCommit.push(lost)
    store.beforeCommit.push(() => {}, lost)
    broker.put(delivery('a', 0), delivery('b', 1))
    await consumer.start()
    await broker.settledUpTo('orders/0@1')
    broker.put(delivery('c', 2))
    await broker.settledUpTo('orders/0@2')
    expect(store.effects).toEqual(['a', 'b', 'c'])
    expect(store.starts.size).toBe(0)
  })

  it('goes on from where another has moved the checkpoint to, having rolled back, and counts no attempt', async () => {
    let ran = 0
    const { store, broker, consumer } = setUpConsumer({ form, handle: () => void (ran += 1) })
    broker.put(delivery('a', 0))
    await consumer.start()
    await broker.settledUpTo('orders/0@0')
    // The last commit of the stream's owner before us, which we had not seen when we asked where to start.
    store.checkpoints.kept.set('orders/0', { lineage: 'log', next: 2n })
    broker.put(delivery('b', 1), delivery('c', 2))
    await broker.settledUpTo('orders/0@2')
    expect([store.effects, ran, store.starts.size]).toEqual([['a', 'c'], 2, 0])
    expect(store.checkpoints.next('orders/0')).toBe(3n)
    expect(broker.requests).toHaveLength(1)
  })

  it('joins anew where the checkpoint went back, and handles again from there', async () => {
    const { store, broker, consumer } = setUpConsumer({ form })
    broker.put(delivery('a', 0), delivery('b', 1))
    await consumer.start()
    await broker.settledUpTo('orders/0@1')
    // As after a restore of the database: the effects are gone too.
    store.checkpoints.kept.set('orders/0', { lineage: 'log', next: 1n })
    broker.put(delivery('c', 2))
    await until('a new membership', () => broker.requests.length === 2)
    expect(store.effects).toEqual(['a', 'b'])
    broker.put(delivery('b', 1), delivery('c', 2))
    await broker.settledUpTo('orders/0@2')
    expect(store.effects).toEqual(['a', 'b', 'b', 'c'])
    expect(store.starts.size).toBe(0)
  })

  it('waits while the store cannot say where the checkpoint is', async () => {
    const { store, broker, consumer, clock } = setUpConsumer({ form })
    broker.put(delivery('a', 0))
    await consumer.start()
    await broker.settledUpTo('orders/0@0')
    store.checkpoints.kept.set('orders/0', { lineage: 'log', next: 2n })
    store.checkpoints.onFind = () => {
      throw new Error('the store is down')
    }
    const before = clock.slept.length
    broker.put(delivery('b', 1), delivery('c', 2))
    await until('pauses', () => clock.slept.length > before + 5)
    expect(store.effects).toEqual(['a'])
    store.checkpoints.onFind = () => {}
    await broker.settledUpTo('orders/0@2')
    expect(store.effects).toEqual(['a', 'c'])
  })

  it('does not mind that the broker answers no settlement: its own position is only a courtesy', async () => {
    const { store, broker, consumer, count } = setUpConsumer({ form, window: 2 })
    broker.settleErrors.push(...Array.from({ length: 3 }, () => new Error('no answer')))
    for (let i = 0; i < 8; i++) broker.put(delivery(`m${i}`, i))
    await consumer.start()
    await until('all of it', () => store.effects.length === 8)
    expect([count('unavailable'), broker.requests.length]).toEqual([0, 1])
  })

  it('runs nothing of a stream that was assigned without asking where to start', async () => {
    const { store, broker, consumer, clock } = setUpConsumer({ form })
    broker.put(delivery('a', 0, 'A', 1, 'orders/9'))
    await consumer.start()
    await until('pauses', () => clock.slept.length > 3)
    expect([store.effects, broker.settled]).toEqual([[], []])
  })

  it('handles a poison message’s followers only after its last attempt', async () => {
    const { store, broker, consumer } = setUpConsumer({
      form,
      handle: (name) => {
        if (name === 'bad') throw new Error('no')
      },
    })
    broker.put(delivery('bad', 0, 'A'), delivery('b', 1, 'B'))
    await consumer.start()
    await broker.settledUpTo('orders/0@1')
    expect(store.starts.get(idOf('bad'))).toBe(3)
    expect(store.dead).toHaveLength(1)
    expect(store.effects).toEqual(['b'])
  })
})
