import { describe, expect, it } from 'vitest'
import { FakeClock, VirtualClock } from '../../test/fakes/clock.ts'
import { envelope, idOf } from '../../test/fakes/messages.ts'
import { FakeStore, type FakeTransaction } from '../../test/fakes/store.ts'
import { systemClock } from '../kernel/clock.ts'
import { CommitOutcomeUnknownError } from '../kernel/errors.ts'
import type { ConsumerForm } from '../guarantees/plan.ts'
import { defineChannel } from '../outbox/channel.ts'
import type { OutboxRow } from '../ports/outbox.ts'
import type { Fate } from '../ports/transport.ts'
import type { ConsumerEvent } from './events.ts'
import { RetryLater } from './handler-errors.ts'
import { createLocalSender, type LocalSenderOptions } from './local-sender.ts'

type Handle = (name: string, signal: AbortSignal) => Promise<void> | void

function row(name: string, key: string | null = name, more: Partial<OutboxRow> = {}): OutboxRow {
  return {
    ...envelope(name, key),
    partition: 0,
    seq: 1n,
    origin: 'upper',
    attempts: 0,
    isParked: false,
    dueAt: new Date(0),
    ...more,
  }
}

function setUp(
  options: { handle?: Handle; form?: ConsumerForm; concurrency?: number } & Partial<LocalSenderOptions> = {},
) {
  const { handle = () => {}, form = 'inbox', concurrency = 1, ...more } = options
  const store = new FakeStore()
  const events: ConsumerEvent[] = []
  const ran: string[] = []
  const sender = createLocalSender({
    consumer: 'shipping',
    handlers: new Map([
      [
        'orders',
        {
          channel: defineChannel<string>({ name: 'orders', key: (name) => name }),
          form,
          concurrency,
          async handle(message, { tx, signal }) {
            const name = message.payload as string
            ran.push(name)
            ;(tx as FakeTransaction).write(name)
            await handle(name, signal)
          },
        },
      ],
    ]),
    inbox: store.inbox,
    transactions: store.transactions,
    batchSize: 10,
    cautious: 0,
    maxAttempts: 3,
    retry: { initialMs: 50, maxMs: 1000 },
    handlerTimeoutMs: 5000,
    idleTimeoutMs: 10_000,
    clock: systemClock,
    random: () => 1,
    onEvent: (event) => events.push(event),
    ...more,
  })
  return { store, events, ran, sender }
}

function failOn(...names: string[]): Handle {
  return (name) => {
    if (names.includes(name)) throw Object.assign(new Error('no stock'), { code: 'E_STOCK' })
  }
}

describe('rows handed to handlers of the same database', () => {
  it('are confirmed once handled, and when they had been handled before', async () => {
    const { store, sender, events } = setUp()
    store.handled.add(idOf('b'))
    expect(await sender.send([row('a'), row('b')], 5000)).toEqual([
      { outcome: 'confirmed' },
      { outcome: 'confirmed' },
    ])
    expect(store.effects).toEqual(['a'])
    expect(events.map(({ type }) => type)).toEqual(['handled', 'duplicate'])
  })

  it('are rejected with their cause; those behind them in their key with that of an earlier message', async () => {
    const { store, sender, events } = setUp({ handle: failOn('a1') })
    const fates = await sender.send([row('a1', 'A'), row('a2', 'A'), row('b')], 5000)
    const common = { outcome: 'rejected', scope: 'message', retryable: true }
    expect(fates).toEqual([
      { ...common, code: 'E_STOCK', reason: 'no stock' },
      { ...common, code: 'WB_HANDLER_FAILED', reason: 'an earlier message of the key failed' },
      { outcome: 'confirmed' },
    ])
    expect(store.effects).toEqual(['b'])
    expect(events).toContainEqual(expect.objectContaining({ type: 'failed', attempts: 1, code: 'E_STOCK' }))
  })

  it('hold their key over the batches of one send', async () => {
    const { store, sender } = setUp({ handle: failOn('a1'), batchSize: 2 })
    const fates = await sender.send([row('a1', 'A'), row('b'), row('a2', 'A'), row('c')], 5000)
    expect(fates.map(({ outcome }) => outcome)).toEqual(['rejected', 'confirmed', 'rejected', 'confirmed'])
    expect(store.effects).toEqual(['b', 'c'])
  })

  it('are rejected for good where no retry can help', async () => {
    const { sender } = setUp()
    const bad = row('bad', null, { payload: new Uint8Array([123]) })
    expect(await sender.send([bad], 5000)).toMatchObject([{ outcome: 'rejected', retryable: false }])
  })

  it('are not taken in the transaction where the relay settles afterwards', async () => {
    const { store, sender } = setUp({ form: 'settle-after' })
    expect(await sender.send([row('a')], 5000)).toEqual([{ outcome: 'confirmed' }])
    expect(store.handled.size).toBe(0)
    await sender.send([row('a')], 5000)
    expect(store.effects).toEqual(['a', 'a'])
  })

  it('are unknown, and not rejected, where the answer to COMMIT was lost and nothing was noted', async () => {
    const { store, sender } = setUp({ form: 'settle-after' })
    store.afterCommit.push(() => {
      throw new CommitOutcomeUnknownError(undefined, new Error('connection lost'))
    })
    expect(await sender.send([row('a')], 5000)).toMatchObject([
      { outcome: 'unknown', code: 'WB_COMMIT_OUTCOME_UNKNOWN' },
    ])
  })

  it('blame the destination, and no message, while the store is down', async () => {
    const { store, sender } = setUp({ batchSize: 1 })
    store.isDown = true
    const fates = await sender.send([row('a'), row('b')], 5000)
    const expected = { outcome: 'rejected', scope: 'destination', code: 'WB_STORE_UNREACHABLE' }
    expect(fates).toMatchObject([expected, expected])
  })

  it('run alone where they have failed before, so that a bad one fails no batch', async () => {
    const { store, ran, sender } = setUp({ handle: failOn('bad') })
    await sender.send([row('a'), row('b'), row('bad', 'B', { attempts: 1, origin: 'retry' })], 5000)
    expect(ran).toEqual(['a', 'b', 'bad'])
    expect(store.starts.get(idOf('bad'))).toBe(1)
  })

  it('run alone and counted at the start of each partition (O6)', async () => {
    const { store, sender } = setUp({ cautious: 1 })
    await sender.send([row('a'), row('b'), row('c', 'c', { partition: 1 })], 5000)
    await sender.send([row('d')], 5000)
    expect([...store.starts.keys()]).toEqual([idOf('a'), idOf('c')])
  })
})

describe('rows of a channel that allows more than one transaction at a time', () => {
  it('are handled side by side, those of a key in order, and each gets its own fate', async () => {
    const gate = Promise.withResolvers<void>()
    const { store, ran, sender } = setUp({
      concurrency: 2,
      handle: (name) => {
        // Ends only once the other key is at work too.
        if (name === 'b1') gate.resolve()
        if (name === 'bad') throw new Error('no')
        return name === 'a1' ? gate.promise : undefined
      },
    })
    const rows = [row('a1', 'A'), row('b1', 'B'), row('a2', 'A'), row('bad', 'B'), row('b3', 'B')]
    const fates = await sender.send(rows, 5000)
    expect(fates.map(({ outcome }) => outcome)).toEqual([
      'confirmed',
      'confirmed',
      'confirmed',
      'rejected',
      'rejected',
    ])
    expect(ran.filter((name) => name.startsWith('a'))).toEqual(['a1', 'a2'])
    expect(store.effects.toSorted()).toEqual(['a1', 'a2', 'b1'])
  })
})

describe('a send that is out of time', () => {
  it('is rolled back and blames no message, and the batches after it are smaller', async () => {
    const { store, ran, sender } = setUp({
      // A sleep is over at once: the time of a send is up as soon as its handler waits.
      clock: new FakeClock(),
      handle: (name) => (name === 'slow' ? new Promise<void>(() => {}) : undefined),
    })
    const fates = await sender.send([row('slow'), row('b'), row('c'), row('d')], 1000)
    const expected = { outcome: 'rejected', scope: 'destination', retryable: true }
    expect(fates).toMatchObject([expected, expected, expected, expected])
    expect([store.effects, store.starts.size]).toEqual([[], 0])
    expect(store.signals[0]?.aborted).toBe(true)

    ran.length = 0
    expect(await sender.send([row('b'), row('c'), row('slow'), row('d')], 1000)).toMatchObject([
      { outcome: 'confirmed' },
      expected,
      expected,
      expected,
    ])
    expect(store.effects).toEqual(['b'])
  })
})

describe('a handler that takes its time', () => {
  const names = Array.from({ length: 40 }, (_, i) => `m${i}`)
  const rows = names.map((name) => row(name))
  const confirmed = (fates: readonly Fate[]): number =>
    fates.filter(({ outcome }) => outcome === 'confirmed').length

  it('runs for no message in vain: what does not fit into a send is left to the next one, which need not wait', async () => {
    const clock = new VirtualClock()
    const { store, ran, sender } = setUp({ clock, batchSize: 100, handle: () => clock.sleep(100) })
    const done: number[] = []
    while (store.effects.length < rows.length) {
      const fates = await sender.send(rows.slice(store.effects.length), 1000)
      const count = confirmed(fates)
      for (const fate of fates.slice(count))
        expect(fate).toMatchObject({ outcome: 'rejected', scope: 'send', retryable: true })
      done.push(count)
    }
    expect([ran, store.effects, store.rollbacks]).toEqual([names, names, 0])
    expect(done.slice(0, -1).every((count) => count >= 7)).toBe(true)
  })

  it('is called even where it takes nearly all the time that a send has', async () => {
    const clock = new VirtualClock()
    const { store, sender } = setUp({ clock, batchSize: 100, handle: () => clock.sleep(900) })
    const done: number[] = []
    for (let i = 0; i < 6; i++)
      done.push(confirmed(await sender.send(rows.slice(store.effects.length).slice(0, 8), 1000)))
    // Cut off with eight, then with fewer; from then on one at a time, and none in vain.
    expect(done.slice(-2)).toEqual([1, 1])
    expect(store.effects).toEqual(names.slice(0, store.effects.length))
  })

  it('runs on more messages in a transaction the faster it is', async () => {
    const clock = new VirtualClock()
    let ms = 100
    const { store, sender } = setUp({ clock, batchSize: 100, handle: () => clock.sleep(ms) })
    await sender.send(rows.slice(0, 5), 1000)
    ms = 1
    await sender.send(rows.slice(5), 1000)
    expect(store.effects).toEqual(names)
    // Five in half a second; so the next five, and then all.
    expect(store.commits).toBe(3)
  })
})

describe('a handler over local that asks for a pause', () => {
  it('has its message tried again after it, without a failed attempt', async () => {
    for (const [error, retryInMs] of [
      [new RetryLater(30_000), 30_000],
      [new RetryLater(), 50],
    ] as const) {
      const { sender } = setUp({
        handle: () => {
          throw error
        },
      })
      expect(await sender.send([row('a')], 1000)).toMatchObject([
        { outcome: 'rejected', scope: 'message', retryable: true, code: 'WB_RETRY_LATER', retryInMs },
      ])
    }
  })
})
