import { describe, expect, it } from 'vitest'
import { delivery, setUpConsumer, type ConsumerSetUp } from '../../test/fakes/consumer.ts'
import { idOf } from '../../test/fakes/messages.ts'
import { FakeStore } from '../../test/fakes/store.ts'
import { CommitOutcomeUnknownError } from '../kernel/errors.ts'
import type { Inbox } from '../ports/inbox.ts'
import type { BrokerConsumerOptions } from './consumer-options.ts'

/** A turn of the event loop: the server is slower than that. */
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

interface Rows extends ConsumerSetUp {
  /** What was admitted (in parentheses), handled, and committed (a stroke), in order. */
  readonly log: string[]
}

const names = new Map(
  ['a', 'b', 'c'].flatMap((key) =>
    Array.from({ length: 20 }, (_, i) => [idOf(`${key}${i}`), `${key}${i}`] as const),
  ),
)

/** Batches of two; admission and each message's handler take a turn. */
function setUp(
  handle: (name: string) => Promise<void> | void = () => {},
  more: Partial<BrokerConsumerOptions> = {},
): Rows {
  const store = new FakeStore()
  const log: string[] = []
  const inbox: Inbox = {
    ...store.inbox,
    admit: async (transaction, consumer, ids) => {
      log.push(`(${ids.map((id) => names.get(id)).join(',')})`)
      await turn()
      return await store.inbox.admit(transaction, consumer, ids)
    },
  }
  const made = setUpConsumer({
    store,
    inbox,
    batchSize: 2,
    handle: async (name) => {
      log.push(name)
      await turn()
      await handle(name)
    },
    ...more,
  })
  return { ...made, log }
}

/** Two batches of the same keys, and a third. */
const three = [
  delivery('a1', 0, 'A'),
  delivery('b1', 1, 'B'),
  delivery('a2', 2, 'A'),
  delivery('b2', 3, 'B'),
  delivery('a3', 4, 'A'),
  delivery('b3', 5, 'B'),
]
const inOrder = ['a1', 'b1', 'a2', 'b2', 'a3', 'b3']

describe('a row of transactions', () => {
  it('begins each behind the COMMIT of the one before, and its handlers when that was acknowledged', async () => {
    const { store, broker, consumer, log } = setUp()
    for (let i = 0; i < 3; i++) store.beforeCommit.push(() => log.push('|'))
    broker.put(...three)
    await consumer.start()
    await broker.settledUpTo('orders/0@5')
    expect(log.join(' ')).toBe('(a1,b1) a1 b1 (a2,b2) | a2 b2 (a3,b3) | a3 b3 |')
    expect(store.effects).toEqual(inOrder)
  })

  it('runs a batch again before what follows it where its COMMIT was refused', async () => {
    const { store, broker, consumer, log } = setUp()
    store.beforeCommit.push(() => {
      log.push('refused')
      throw Object.assign(new Error('serialization'), { code: '40001' })
    })
    broker.put(...three)
    await consumer.start()
    await broker.settledUpTo('orders/0@5')
    expect(log.join(' ')).toMatch(/^\(a1,b1\) a1 b1 \(a2,b2\) refused \(a1,b1\) a1 b1 \(a2,b2\) a2 b2 /u)
    expect(store.effects).toEqual(inOrder)
  })

  it('begins anew, and in no place, where one that was sent behind another met a conflict', async () => {
    const { store, broker, consumer, clock, log } = setUp()
    const conflict = (): never => {
      throw Object.assign(new Error('serialization'), { code: '40001' })
    }
    store.beforeCommit.push(() => {}, conflict)
    broker.put(...three)
    await consumer.start()
    await broker.settledUpTo('orders/0@5')
    expect(log.join(' ')).toContain('(a2,b2) a2 b2 (a3,b3) (a2,b2) a2 b2 (a3,b3) a3 b3')
    expect(store.effects).toEqual(inOrder)
    // As long as after troubles of the store.
    expect(clock.slept).not.toContain(50)
  })

  it('runs nothing of what follows before it is known what became of a COMMIT whose answer is lost', async () => {
    for (const hasCommitted of [true, false]) {
      const { store, broker, consumer, log } = setUp()
      const lose = (): never => {
        log.push('lost')
        throw new CommitOutcomeUnknownError(undefined, new Error('gone'))
      }
      store[hasCommitted ? 'afterCommit' : 'beforeCommit'].push(lose)
      broker.put(...three)
      await consumer.start()
      await broker.settledUpTo('orders/0@5')
      const again = hasCommitted ? '' : ' a1 b1'
      expect(log.join(' ')).toContain(`(a1,b1) a1 b1 (a2,b2) lost (a1,b1)${again} (a2,b2) a2 b2`)
      expect(store.effects).toEqual(inOrder)
      await consumer.stop()
    }
  })

  it('leaves a bad message alone with its key, though the next batch was taken already', async () => {
    let failures = 2
    const { store, broker, consumer, log } = setUp((name) => {
      if (name === 'b1' && failures-- > 0) throw new Error('no')
    })
    broker.put(...three)
    await consumer.start()
    await broker.settledUpTo('orders/0@5')
    expect(log.slice(0, 7).join(' ')).toBe('(a1,b1) a1 b1 (a1) a1 (b1) b1')
    expect(store.effects.toSorted()).toEqual(inOrder.toSorted())
    for (const key of ['a', 'b']) {
      const own = store.effects.filter((name) => name.startsWith(key))
      expect(own).toEqual(own.toSorted())
    }
  })

  it('does not begin what was taken ahead where its stream was taken away meanwhile', async () => {
    const set = setUp((name) => {
      if (name === 'b1') set.broker.requests[0]!.onRevoked(['orders/0'])
    })
    const { broker, consumer, log, store } = set
    broker.put(...three)
    await consumer.start()
    while (store.commits === 0) await turn()
    broker.put(delivery('c1', 0, 'C', 1, 'orders/1'))
    await broker.settledUpTo('orders/1@0')
    expect(log.join(' ')).toBe('(a1,b1) a1 b1 (c1) c1')
    expect(store.effects).toEqual(['a1', 'b1', 'c1'])
  })

  it('ends with the batch that runs when the consumer stops, and settles it', async () => {
    let stopping: Promise<void> | undefined
    const set = setUp((name) => {
      if (name === 'b1') stopping = set.consumer.stop()
    })
    set.broker.put(...three)
    await set.consumer.start()
    await set.broker.settledUpTo('orders/0@1')
    await stopping
    expect(set.log.join(' ')).toBe('(a1,b1) a1 b1')
    expect(set.store.effects).toEqual(['a1', 'b1'])
  })

  it('lets a retry have its turn', async () => {
    let failures = 2
    const { store, broker, consumer, clock, log } = setUp((name) => {
      if (name === 'b1' && failures-- > 0) throw new Error('no')
      if (name === 'c2') clock.time += 1000
    })
    const names = ['b1', 'c1', 'c2', 'c3', 'c4', 'c5', 'c6', 'c7', 'c8']
    broker.put(...names.map((name, i) => delivery(name, i, name[0]!.toUpperCase())))
    await consumer.start()
    await broker.settledUpTo('orders/0@8')
    expect(log.lastIndexOf('b1')).toBeLessThan(log.indexOf('c8'))
    expect(store.effects.filter((name) => name !== 'b1')).toEqual(names.slice(1))
  })

  it('waits with what follows while the broker takes no settlements', async () => {
    const { store, broker, consumer, clock } = setUp()
    const { promise: rested, resolve: goOn } = Promise.withResolvers<void>()
    const { promise: pausing, resolve: pause } = Promise.withResolvers<void>()
    const sleep = clock.sleep.bind(clock)
    clock.sleep = async (ms, signal) => {
      if (ms === 50) pause()
      if (ms === 50) await rested
      await sleep(ms, signal)
    }
    broker.settleErrors.push(new Error('not now'))
    broker.put(...Array.from({ length: 20 }, (_, i) => delivery(`a${i}`, i, 'A')))
    await consumer.start()
    await pausing
    for (let i = 0; i < 50; i++) await turn()
    // The first batch, and the one that was behind it already.
    expect(store.commits).toBe(2)
    goOn()
    await broker.settledUpTo('orders/0@19')
    expect(store.effects).toHaveLength(20)
  })
})
