import { describe, expect, it } from 'vitest'
import { FakeClock } from '../../test/fakes/clock.ts'
import { envelope, idOf } from '../../test/fakes/messages.ts'
import { FakeStore, type FakeTransaction } from '../../test/fakes/store.ts'
import { systemClock } from '../kernel/clock.ts'
import { CommitOutcomeUnknownError } from '../kernel/errors.ts'
import { silentLogger } from '../kernel/logger.ts'
import { defineChannel } from '../outbox/channel.ts'
import type { OutboxRow } from '../ports/outbox.ts'
import { armFailpoint } from '../testing/failpoints.ts'
import type { ConsumerEvent } from './events.ts'
import { createLocalOnce, type LocalOnce, type LocalOnceOptions } from './local-once.ts'

function row(name: string, more: Partial<OutboxRow> = {}): OutboxRow {
  return {
    ...envelope(name, 'K'),
    partition: 0,
    seq: 1n,
    origin: 'upper',
    attempts: 0,
    isParked: false,
    dueAt: new Date(0),
    ...more,
  }
}

/** Of the leases under which the rows were taken. */
const epochs = Array.from({ length: 10 }, () => 7n)

interface SetUp {
  readonly store: FakeStore
  readonly events: ConsumerEvent[]
  readonly ran: string[]
  readonly once: LocalOnce
}

function setUp(
  handle: (name: string, store: FakeStore) => Promise<void> | void = () => {},
  more: Partial<LocalOnceOptions> = {},
): SetUp {
  const store = new FakeStore()
  const events: ConsumerEvent[] = []
  const ran: string[] = []
  const once = createLocalOnce({
    consumer: 'shipping',
    handlers: new Map([
      [
        'orders',
        {
          channel: defineChannel<string>({ name: 'orders', key: (name) => name }),
          form: 'settle-first',
          concurrency: 2,
          async handle(message, { tx }) {
            const name = message.payload as string
            ran.push(name)
            ;(tx as FakeTransaction).write(name)
            await handle(name, store)
          },
        },
      ],
    ]),
    inbox: store.inbox,
    transactions: store.transactions,
    handlerTimeoutMs: 5000,
    idleTimeoutMs: 10_000,
    clock: systemClock,
    random: () => 1,
    logger: silentLogger,
    onEvent: (event) => events.push(event),
    ...more,
  })
  return { store, events, ran, once }
}

describe('rows that were taken for their one run', () => {
  it('are run in order, each in a transaction of its own, without a note', async () => {
    const { store, once, events } = setUp()
    expect(await once.send([row('a'), row('b')], 5000, epochs)).toEqual([null, null])
    expect([store.effects, store.commits, store.handled.size]).toEqual([['a', 'b'], 2, 0])
    expect(events.map(({ type }) => type)).toEqual(['handled', 'handled'])
  })

  it('are run side by side where the channel allows it, those of a key in order', async () => {
    const gate = Promise.withResolvers<void>()
    const { ran, store, once } = setUp((name) => {
      if (name === 'b1') gate.resolve()
      return name === 'a1' ? gate.promise : undefined
    })
    const rows = [row('a1'), row('a2'), row('b1', { key: 'B' })]
    expect(await once.send(rows, 5000, epochs)).toEqual([null, null, null])
    expect(ran).toEqual(['a1', 'b1', 'a2'])
    expect(store.commits).toBe(3)
  })

  it('are lost where they fail, whatever the failure, and those behind them run', async () => {
    const { store, ran, once, events } = setUp((name, { afterCommit }) => {
      if (name === 'bad') throw Object.assign(new Error('no stock'), { code: 'E_STOCK' })
      if (name === 'conflict') throw Object.assign(new Error('deadlock'), { code: '40P01' })
      if (name === 'unknown') {
        afterCommit.push(() => {
          throw new CommitOutcomeUnknownError('77', new Error('connection lost'))
        })
      }
    })
    const names = ['bad', 'conflict', 'unknown', 'good']
    expect(
      await once.send(
        names.map((name) => row(name)),
        5000,
        epochs,
      ),
    ).toEqual([
      { cause: 'handler-failed', code: 'E_STOCK' },
      { cause: 'handler-failed', code: '40P01' },
      { cause: 'unanswered', code: 'WB_COMMIT_OUTCOME_UNKNOWN' },
      null,
    ])
    expect(ran).toEqual(names)
    expect(events.filter(({ type }) => type === 'lost')).toMatchObject([
      { id: idOf('bad'), consumer: 'shipping', channel: 'orders', code: 'E_STOCK' },
      { id: idOf('conflict') },
      { id: idOf('unknown') },
    ])
    // The relay counts them, with the end of what was taken.
    expect(store.losses).toEqual([])
  })

  it('of an ordered channel are not run any more when their partition is another’s', async () => {
    const { store, ran, once, events } = setUp()
    store.epochs.set(0, 8n)
    const rows = [row('a'), row('b', { partition: 1 }), row('c')]
    const lost = { cause: 'not-begun', code: 'WB_STORE_CONFLICT' }
    expect(await once.send(rows, 5000, epochs)).toEqual([lost, null, lost])
    expect([ran, store.effects]).toEqual([['b'], ['b']])
    expect(events.filter(({ type }) => type === 'lost')).toMatchObject([{ id: idOf('a') }, { id: idOf('c') }])
  })

  it('are all lost while the store is down', async () => {
    const { store, ran, once } = setUp()
    store.isDown = true
    const lost = { cause: 'handler-failed', code: 'WB_STORE_UNREACHABLE' }
    expect(await once.send([row('a'), row('b')], 5000, epochs)).toEqual([lost, lost])
    expect(ran).toEqual([])
  })

  it('that cannot be run at all are dead letters', async () => {
    const { store, once } = setUp()
    const bad = row('bad', { payload: new Uint8Array([123]) })
    expect(await once.send([bad, row('x', { channel: 'elsewhere' })], 5000, epochs)).toEqual([null, null])
    expect(store.dead.map(({ errorCode }) => errorCode).toSorted()).toEqual([
      'WB_ENVELOPE_INVALID',
      'WB_UNKNOWN_CHANNEL',
    ])
  })

  it('are lost where they have not ended in time, for their owner may change now', async () => {
    // A sleep is over at once: the time of a send is up as soon as its handler waits.
    const { ran, once } = setUp(() => new Promise<void>(() => {}), { clock: new FakeClock() })
    const lost = { cause: 'not-begun', code: 'WB_TIMED_OUT' }
    expect(await once.send([row('slow'), row('b')], 1000, epochs)).toMatchObject([
      { cause: 'handler-failed' },
      lost,
    ])
    expect(ran).toEqual(['slow'])
  })

  it('are answered for, whatever breaks', async () => {
    const { once, ran } = setUp()
    using _armed = armFailpoint('consumer.after-receive', 'throw')
    expect(await once.send([row('a')], 5000, epochs)).toMatchObject([{ cause: 'handler-failed' }])
    expect(ran).toEqual([])
  })
})
