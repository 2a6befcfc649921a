import { describe, expect, it } from 'vitest'
import { delivery, setUpConsumer as setUp } from '../../test/fakes/consumer.ts'
import { idOf } from '../../test/fakes/messages.ts'
import { until } from '../testing/until.ts'
import { CommitOutcomeUnknownError, WaybillError } from '../kernel/errors.ts'

describe('a consumer of a broker', () => {
  it('handles what it receives and settles after the commit (I2)', async () => {
    const { store, broker, consumer, events } = setUp()
    broker.put(delivery('a', 4, 'A'), delivery('b', 5, 'B'))
    await consumer.start()
    await broker.settledUpTo('orders/0@5')
    await consumer.stop()
    expect(store.effects).toEqual(['a', 'b'])
    expect(events).toContainEqual({ type: 'handled', consumer: 'shipping', channel: 'orders', count: 2 })
    expect(events).toContainEqual({ type: 'settled', consumer: 'shipping', count: 2 })
    expect(broker.requests[0]).toMatchObject({
      consumer: 'shipping',
      channels: [{ channel: 'orders', address: 'orders' }],
    })
  })

  it('settles a copy without handling it where the channel is exactly-once', async () => {
    const { store, broker, consumer, events } = setUp()
    store.handled.add(idOf('a'))
    broker.put(delivery('a', 0, 'A'))
    await consumer.start()
    await broker.settledUpTo('orders/0@0')
    expect(store.effects).toEqual([])
    expect(events).toContainEqual({ type: 'duplicate', consumer: 'shipping', channel: 'orders', count: 1 })
  })

  it('handles every copy, and notes none, where the channel is at-least-once', async () => {
    const { store, broker, consumer } = setUp({ form: 'settle-after' })
    broker.put(delivery('a', 0, 'A'), delivery('a', 1, 'A'))
    await consumer.start()
    await broker.settledUpTo('orders/0@1')
    expect(store.effects).toEqual(['a', 'a'])
    expect(store.handled.size).toBe(0)
  })

  it('lets other keys go on while one is retried, and settles nothing past it', async () => {
    let failures = 2
    const settledAtFailure: string[][] = []
    const { store, broker, consumer } = setUp({
      handle: (name) => {
        if (name !== 'bad' || failures === 0) return
        failures -= 1
        settledAtFailure.push([...broker.settled])
        throw new Error('no')
      },
    })
    broker.put(delivery('bad', 0, 'A'), delivery('a2', 1, 'A'), delivery('b', 2, 'B'))
    await consumer.start()
    await broker.settledUpTo('orders/0@2')
    expect(store.effects).toEqual(['b', 'bad', 'a2'])
    expect(settledAtFailure).toEqual([[], []])
  })

  it('makes a dead letter of what fails too often, and its key goes on (O1, O5)', async () => {
    const { store, broker, consumer, clock, count } = setUp({
      handle: (name) => {
        if (name === 'bad') throw Object.assign(new Error('no stock'), { code: 'E_STOCK' })
      },
    })
    broker.put(delivery('bad', 0, 'A'), delivery('a2', 1, 'A'))
    await consumer.start()
    await broker.settledUpTo('orders/0@1')
    expect(store.effects).toEqual(['a2'])
    expect(store.dead).toMatchObject([
      { attempts: 3, reason: 'attempts-exhausted', errorCode: 'E_STOCK', error: 'no stock' },
    ])
    expect([count('failed'), count('dead')]).toEqual([3, 1])
    // The pauses between the attempts grow.
    expect(clock.slept).toEqual(expect.arrayContaining([100, 200]))
  })

  it('does not settle what it could not bury (B7, F39)', async () => {
    const { store, broker, consumer } = setUp({
      maxAttempts: 1,
      handle: (name) => {
        if (name === 'bad') throw new Error('no')
      },
    })
    store.canBury = false
    broker.put(delivery('bad', 0, 'A'), delivery('b', 1, 'B'))
    await consumer.start()
    while ((store.starts.get(idOf('bad')) ?? 0) < 3) await new Promise((resolve) => setImmediate(resolve))
    expect(broker.settled).toEqual([])
    expect(store.effects).toEqual(['b'])
    store.canBury = true
    await broker.settledUpTo('orders/0@1')
    expect(store.dead).toHaveLength(1)
  })

  it('counts no dead letter for a message that another has handled meanwhile', async () => {
    const { store, broker, consumer, count } = setUp({
      maxAttempts: 1,
      handle: () => {
        store.handled.add(idOf('bad'))
        throw new Error('no')
      },
    })
    broker.put(delivery('bad', 0, 'A'))
    await consumer.start()
    await broker.settledUpTo('orders/0@0')
    expect([store.dead.length, count('dead')]).toEqual([0, 0])
  })

  it('keeps what could not be decoded as a dead letter with its bytes (O4)', async () => {
    const { store, broker, consumer } = setUp()
    const payload = new Uint8Array([1, 2, 0, 255])
    const broken = { ...delivery('x', 0), envelope: null, raw: { payload, error: 'no ce_id' } }
    broker.put(broken, delivery('a', 1, 'A'))
    await consumer.start()
    await broker.settledUpTo('orders/0@1')
    expect(store.effects).toEqual(['a'])
    expect(store.dead).toMatchObject([
      {
        envelope: { channel: 'orders', payload, key: null, headers: { 'waybill-position': '0' } },
        reason: 'rejected',
        errorCode: 'WB_ENVELOPE_INVALID',
        error: 'no ce_id',
      },
    ])
  })

  it('settles nothing and goes on trying, with growing pauses, while the store is down (I4, O3)', async () => {
    const { store, broker, consumer, clock } = setUp()
    store.isDown = true
    broker.put(delivery('a', 0, 'A'))
    await consumer.start()
    // A loop that found nothing to do yet waited for a minute at most.
    const pauses = (): readonly number[] => clock.slept.filter((ms) => ms < 60_000)
    while (pauses().length < 6) await new Promise((resolve) => setImmediate(resolve))
    expect(pauses().slice(0, 6)).toEqual([50, 100, 200, 400, 400, 400])
    expect(broker.settled).toEqual([])
    expect(store.starts.size).toBe(0)
    store.isDown = false
    await broker.settledUpTo('orders/0@0')
    expect(store.effects).toEqual(['a'])
  })

  it('goes on after receiving or settling has failed (I8)', async () => {
    const { store, broker, consumer, clock } = setUp()
    broker.receiveErrors.push(new Error('connection lost'), new Error('connection lost'))
    broker.settleErrors.push(new Error('connection lost'), new Error('connection lost'))
    broker.put(delivery('a', 0, 'A'))
    await consumer.start()
    await broker.settledUpTo('orders/0@0')
    expect(store.effects).toEqual(['a'])
    expect(clock.slept).toEqual(expect.arrayContaining([50, 100]))
  })

  it('handles again what may have committed or not, where nothing was noted', async () => {
    const { store, broker, consumer, count } = setUp({ form: 'settle-after' })
    store.afterCommit.push(() => {
      throw new CommitOutcomeUnknownError('77', new Error('connection lost'))
    })
    broker.put(delivery('a', 0, 'A'), delivery('a2', 1, 'A'))
    await consumer.start()
    await broker.settledUpTo('orders/0@1')
    expect(store.effects).toEqual(['a', 'a2', 'a', 'a2'])
    expect(count('failed')).toBe(0)
  })

  it('asks for no more than its window has room for', async () => {
    const { broker, consumer } = setUp({ window: 3, batchSize: 2 })
    for (let i = 0; i < 9; i++) broker.put(delivery(`m${i}`, i))
    await consumer.start()
    await broker.settledUpTo('orders/0@8')
    expect(Math.max(...broker.asked)).toBe(3)
  })

  it('does not settle what was handled after its stream was taken away', async () => {
    let revoke = (): void => {}
    const { store, broker, consumer } = setUp({
      handle: (name) => {
        if (name === 'a') revoke()
      },
    })
    revoke = () => broker.requests[0]?.onRevoked(['orders/0'])
    broker.put(delivery('a', 0, 'A'))
    await consumer.start()
    while (!store.handled.has(idOf('a'))) await new Promise((resolve) => setImmediate(resolve))
    broker.put(delivery('a', 0, 'A', 2), delivery('b', 1, 'B', 2))
    await broker.settledUpTo('orders/0@1')
    // The copy under the new assignment settled both; nothing was handled twice.
    expect(store.effects).toEqual(['a', 'b'])
  })

  it('settles what runs before its stream is taken away, and begins nothing more of it', async () => {
    const started = Promise.withResolvers<void>()
    const gate = Promise.withResolvers<void>()
    const { store, broker, consumer } = setUp({
      batchSize: 1,
      handle: async (name) => {
        if (name !== 'a') return
        started.resolve()
        await gate.promise
      },
    })
    broker.put(delivery('a', 0, 'A'), delivery('b', 1, 'B'))
    await consumer.start()
    await started.promise
    const steps: string[] = []
    const left = broker.requests[0]!.onRevoking!(['orders/0']).then(() => steps.push(...broker.settled))
    broker.put(delivery('c', 2, 'C'))
    steps.push('handled')
    gate.resolve()
    await left
    expect(steps).toEqual(['handled', 'orders/0@0'])
    broker.requests[0]!.onRevoked(['orders/0'])
    // The next owner's turn, which is this one again.
    broker.put(delivery('b', 1, 'B', 2), delivery('c', 2, 'C', 2))
    await broker.settledUpTo('orders/0@2')
    expect(store.effects).toEqual(['a', 'b', 'c'])
  })

  it('waits for nothing of a stream that was taken away meanwhile', async () => {
    const started = Promise.withResolvers<void>()
    const gate = Promise.withResolvers<void>()
    const { broker, consumer } = setUp({
      handle: async () => {
        started.resolve()
        await gate.promise
      },
    })
    broker.put(delivery('a', 0, 'A'))
    await consumer.start()
    await started.promise
    const left = broker.requests[0]!.onRevoking!(['orders/0'])
    broker.requests[0]!.onRevoked(['orders/0'])
    await left
    gate.resolve()
  })

  it('lets its streams go at once where nothing runs, and when it has stopped', async () => {
    const { broker, consumer } = setUp()
    await consumer.start()
    const { onRevoking } = broker.requests[0]!
    await onRevoking!(['orders/0', 'orders/1'])
    broker.put(delivery('a', 0, 'A'))
    await consumer.stop()
    await onRevoking!(['orders/0'])
  })

  it('says that it is well again where what it could not settle was taken away', async () => {
    const { broker, consumer, events } = setUp()
    broker.settleErrors.push(new WaybillError('WB_BROKER_UNREACHABLE', 'no answer', { retryable: 'yes' }))
    broker.onSettle = () => {
      broker.onSettle = () => {}
      broker.requests[0]!.onRevoked(['orders/0'])
    }
    broker.put(delivery('a', 0, 'A'))
    await consumer.start()
    await until('the end of the trouble', () => events.some(({ type }) => type === 'recovered'))
    expect(events.map(({ type }) => type)).toEqual(['handled', 'unavailable', 'recovered'])
    expect(broker.settled).toEqual([])
  })

  it('does not say that it is well while another handler is with a store that hangs', async () => {
    const gate = Promise.withResolvers<void>()
    let runs = 0
    const { broker, consumer, events, clock } = setUp({
      entry: { concurrency: 2 },
      handle: async () => {
        runs += 1
        if (runs === 1) throw new WaybillError('WB_STORE_UNREACHABLE', 'no', { retryable: 'yes' })
        await gate.promise
      },
    })
    broker.put(delivery('a', 0, 'A'))
    await consumer.start()
    await until('the second try', () => runs === 2)
    const slept = clock.slept.length
    // Turns of the one that has nothing to do.
    await until('idle turns', () => clock.slept.length > slept + 20)
    expect(events.map(({ type }) => type)).not.toContain('recovered')
    gate.resolve()
    await broker.settledUpTo('orders/0@0')
  })

  it('runs the first messages of an assignment alone and counted (O6)', async () => {
    const { store, broker, consumer } = setUp({ cautious: 2 })
    broker.put(delivery('a', 0), delivery('b', 1), delivery('c', 2))
    await consumer.start()
    await broker.settledUpTo('orders/0@2')
    expect([...store.starts.keys()]).toEqual([idOf('a'), idOf('b')])
    expect(store.commits).toBe(3)
  })
})

describe('stopping a consumer', () => {
  it('lets what runs end, settles it, and closes; a second start goes on', async () => {
    const order: string[] = []
    let end = (): void => {}
    const started = Promise.withResolvers<void>()
    const { store, broker, consumer } = setUp({
      handle: async (name) => {
        if (name !== 'a') return
        started.resolve()
        await new Promise<void>((resolve) => {
          end = resolve
        })
        order.push('handled')
      },
    })
    broker.put(delivery('a', 0, 'A'))
    await consumer.start()
    await started.promise
    const stopped = consumer.stop().then(() => order.push('stopped'))
    end()
    await stopped
    expect(order).toEqual(['handled', 'stopped'])
    expect(broker.settled).toEqual(['orders/0@0'])
    expect(broker.closed).toBe(1)

    broker.put(delivery('b', 1, 'B'))
    await consumer.start()
    await broker.settledUpTo('orders/0@1')
    expect(store.effects).toEqual(['a', 'b'])
  })

  it('gives up a handler that does not end in time: its signal aborts and nothing of it is stored', async () => {
    let given: AbortSignal | undefined
    const started = Promise.withResolvers<void>()
    const { store, broker, consumer } = setUp({
      stopTimeoutMs: 0,
      handle: (_name, signal) => {
        given = signal
        started.resolve()
        return new Promise<void>(() => {})
      },
    })
    broker.put(delivery('a', 0, 'A'))
    await consumer.start()
    await started.promise
    await consumer.stop()
    expect(given?.aborted).toBe(true)
    expect([store.effects, broker.settled, store.starts.size]).toEqual([[], [], 0])
    expect(broker.closed).toBe(1)
  })

  it('leaves nothing behind where the broker refuses the subscription', async () => {
    const refusal = new WaybillError('WB_BROKER_UNREACHABLE', 'nobody there')
    const { consumer } = setUp({ subscribe: () => Promise.reject(refusal) })
    await expect(consumer.start()).rejects.toBe(refusal)
    await consumer.stop()
  })

  it('ignores a listener that throws', async () => {
    const { broker, consumer } = setUp({
      onEvent: () => {
        throw new Error('the metrics are broken')
      },
    })
    broker.put(delivery('a', 0, 'A'))
    await consumer.start()
    await broker.settledUpTo('orders/0@0')
  })
})
