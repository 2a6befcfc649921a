import { describe, expect, it } from 'vitest'
import { delivery, setUpConsumer } from '../../test/fakes/consumer.ts'
import type { FakeTransaction } from '../../test/fakes/store.ts'
import { defineChannel } from '../outbox/channel.ts'
import type { ConsumerForm } from '../guarantees/plan.ts'
import { until } from '../testing/until.ts'
import type { HandlerEntry } from './handler.ts'

/** A consumer whose handlers end when they are told to. */
function setUpGated(form: ConsumerForm, concurrency: number, handlers?: readonly string[]) {
  const started: string[] = []
  const gates = new Map<string, () => void>()
  const handle: HandlerEntry['handle'] = async (message, { tx }) => {
    const name = message.payload as string
    started.push(name)
    await new Promise<void>((resolve) => gates.set(name, resolve))
    ;(tx as FakeTransaction).write(name)
  }
  const entries = (handlers ?? ['orders']).map((name): [string, HandlerEntry] => [
    name,
    {
      channel: defineChannel<string>({ name, key: (payload) => payload }),
      form,
      concurrency: name === 'orders' ? concurrency : 1,
      handle,
    },
  ])
  const end = async (...names: readonly string[]): Promise<void> => {
    for (const name of names) {
      await until(`the start of ${name}`, () => gates.has(name))
      gates.get(name)!()
    }
  }
  const startedAll = (count: number): Promise<unknown> =>
    until(`${count} handlers`, () => started.length >= count)
  const { broker, store, consumer } = setUpConsumer({ form, handlers: new Map(entries) })
  return { broker, store, consumer, started, end, startedAll }
}

/** Turns of the event loop, more than enough for whatever could start to start: nothing here waits for a timer or a socket. */
async function quiet(): Promise<void> {
  for (let i = 0; i < 50; i++) await new Promise((resolve) => setImmediate(resolve))
}

describe('handlers side by side', () => {
  it('run in as many transactions as allowed, each key in order, and are settled up to the first unfinished one', async () => {
    const { broker, consumer, started, end, startedAll, store } = setUpGated('inbox', 3)
    const names = ['a1', 'b1', 'a2', 'c1', 'b2']
    broker.put(...names.map((name, i) => delivery(name, i, name[0])))
    await consumer.start()
    await startedAll(3)
    await quiet()
    expect(started.toSorted()).toEqual(['a1', 'b1', 'c1'])
    await end('c1', 'b1', 'b2')
    await until('the others', () => store.effects.length === 3)
    expect(broker.settled).toEqual([])
    await end('a1', 'a2')
    await broker.settledUpTo('orders/0@4')
    expect(store.effects.toSorted()).toEqual(['a1', 'a2', 'b1', 'b2', 'c1'])
    for (const key of ['a', 'b']) {
      expect(store.effects.filter((name) => name.startsWith(key))).toEqual([`${key}1`, `${key}2`])
    }
    expect(store.commits).toBe(3)
  })

  it('settle one after another: of two requests at once the lower could land last', async () => {
    const { broker, consumer } = setUpConsumer({ entry: { concurrency: 4 }, batchSize: 1 })
    let [under, most] = [0, 0]
    broker.onSettle = async () => {
      most = Math.max(most, ++under)
      await quiet()
      under -= 1
    }
    broker.put(...Array.from({ length: 8 }, (_, i) => delivery(`m${i}`, i)))
    await consumer.start()
    await broker.settledUpTo('orders/0@7')
    expect(most).toBe(1)
  })

  it('are as many as their own channel allows, whatever another one of the consumer does', async () => {
    const { broker, consumer, started, end, startedAll } = setUpGated('inbox', 3, ['orders', 'audit'])
    const audit = ['x', 'y'].map((name, i) => {
      const one = delivery(name, i, name, 1, 'audit/0')
      return { ...one, envelope: { ...one.envelope!, channel: 'audit' } }
    })
    broker.put(...audit)
    await consumer.start()
    await startedAll(1)
    await quiet()
    expect(started).toHaveLength(1)
    broker.put(delivery('a', 0, 'a'), delivery('b', 1, 'b'))
    await startedAll(3)
    expect(started.filter((name) => name < 'x').toSorted()).toEqual(['a', 'b'])
    await end('a', 'b', 'x', 'y')
    await broker.settledUpTo('audit/0@1')
  })

  it('are one at a time for each stream that has a checkpoint', async () => {
    const { broker, consumer, started, end, startedAll, store } = setUpGated('checkpoint', 4)
    broker.put(
      ...['a', 'b', 'c'].map((name, i) => delivery(name, i, name)),
      delivery('x', 0, 'x', 1, 'orders/1'),
    )
    await consumer.start()
    await startedAll(2)
    await quiet()
    expect(started.toSorted()).toEqual(['a', 'x'])
    await end('a', 'b', 'c', 'x')
    await broker.settledUpTo('orders/0@2')
    await until('the end', () => store.checkpoints.next('orders/1') === 1n)
    expect(store.effects.filter((name) => name !== 'x')).toEqual(['a', 'b', 'c'])
  })

  it('run what was settled side by side too, each key in order', async () => {
    const { broker, consumer, started, end, startedAll, store } = setUpGated('settle-first', 2)
    broker.put(...['a1', 'a2', 'b1'].map((name, i) => delivery(name, i, name[0])))
    await consumer.start()
    await startedAll(2)
    await quiet()
    expect(started).toEqual(['a1', 'b1'])
    await end('b1', 'a1', 'a2')
    await until('the end', () => store.effects.length === 3)
    expect(store.effects.filter((name) => name.startsWith('a'))).toEqual(['a1', 'a2'])
    expect(store.commits).toBe(3)
  })

  it('do not keep a failing message of another key from its retries', async () => {
    let failures = 2
    const { store, broker, consumer } = setUpConsumer({
      entry: { concurrency: 2 },
      handle: (name) => {
        if (name === 'bad' && failures-- > 0) throw new Error('no')
      },
    })
    broker.put(...['bad', 'b', 'c', 'd'].map((name, i) => delivery(name, i, name)))
    await consumer.start()
    await broker.settledUpTo('orders/0@3')
    expect(store.effects.toSorted()).toEqual(['b', 'bad', 'c', 'd'])
  })

  it('are all waited for when the consumer stops', async () => {
    const { broker, consumer, end, startedAll, store } = setUpGated('inbox', 2)
    broker.put(delivery('a', 0, 'a'), delivery('b', 1, 'b'))
    await consumer.start()
    await startedAll(2)
    const stopped = consumer.stop()
    await end('b', 'a')
    await stopped
    expect(store.effects.toSorted()).toEqual(['a', 'b'])
    expect(broker.settled).toContain('orders/0@1')
  })
})
