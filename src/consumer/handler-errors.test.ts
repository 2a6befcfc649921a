import { describe, expect, it } from 'vitest'
import { delivery, setUpConsumer } from '../../test/fakes/consumer.ts'
import { idOf } from '../../test/fakes/messages.ts'
import { alone, item, never, setUp } from '../../test/fakes/processor.ts'
import { isWaybillError, WaybillError } from '../kernel/errors.ts'
import { RejectMessage, RetryLater } from './handler-errors.ts'

describe('a handler that throws RejectMessage', () => {
  it('has the message given up at once, with its reason', async () => {
    const { failing, processor } = setUp()
    failing.set('b', new RejectMessage('the order was cancelled'))
    const outcomes = await processor.process([item('a'), item('b')], never)
    expect(outcomes).toMatchObject([
      { outcome: 'handled' },
      { outcome: 'failed', retryable: false, code: 'WB_MESSAGE_REJECTED', reason: 'the order was cancelled' },
    ])
  })

  it('is understood through what wraps it, and from another copy of the package', async () => {
    const { failing, processor } = setUp()
    const foreign = Object.defineProperty(new Error('no'), Symbol.for('waybill.reject-message'), {
      value: true,
    })
    for (const error of [new Error('wrapped', { cause: new RejectMessage('no') }), foreign]) {
      failing.set('a', error)
      expect(await processor.process([alone('a')], never)).toMatchObject([{ retryable: false }])
    }
  })

  it('leaves a dead letter of one attempt behind at a broker, and its key goes on', async () => {
    const { store, broker, consumer } = setUpConsumer({
      handle: (name) => {
        if (name === 'bad') throw new RejectMessage('never')
      },
    })
    broker.put(delivery('bad', 0, 'A'), delivery('a2', 1, 'A'))
    await consumer.start()
    await broker.settledUpTo('orders/0@1')
    expect(store.dead).toMatchObject([
      { reason: 'rejected', attempts: 1, errorCode: 'WB_MESSAGE_REJECTED', error: 'never' },
    ])
    expect(store.effects).toEqual(['a2'])
  })
})

describe('a handler that throws RetryLater', () => {
  it('burns no attempt, however often, and holds its key', async () => {
    const { failing, process, store, attempts, processor } = setUp({ maxAttempts: 2 })
    failing.set('a1', new RetryLater(5000))
    expect(await process([item('a1', 'A'), item('a2', 'A'), item('b')])).toEqual([
      'later',
      'skipped',
      'handled',
    ])
    for (let i = 0; i < 5; i++) expect(await process([alone('a1', 'A')])).toEqual(['later'])
    expect(store.starts.get(idOf('a1'))).toBe(0)
    expect(attempts).toEqual([1, 1, 1, 1, 1, 1, 1, 1])
    expect(await processor.process([alone('a1', 'A')], never)).toMatchObject([
      { pauseMs: 5000, attempts: 0, code: 'WB_RETRY_LATER' },
    ])
    failing.set('a1', new Error('now it fails'))
    expect(await process([alone('a1', 'A')])).toEqual(['failed'])
  })

  it('is what one does whose output finds its channel full, also where that is wrapped', async () => {
    const { failing, process, store } = setUp({ maxAttempts: 2 })
    const full = new WaybillError('WB_BACKLOG_FULL', 'full', { retryable: 'yes' })
    for (const error of [full, new Error('could not plan the shipment', { cause: full })]) {
      failing.set('a', error)
      for (let i = 0; i < 3; i++) expect(await process([alone('a')])).toEqual(['later'])
    }
    expect(store.starts.get(idOf('a'))).toBe(0)
    failing.set('a', new WaybillError('WB_STORE_FAILED', 'another'))
    expect(await process([alone('a')])).toEqual(['failed'])
  })

  it('keeps the attempts that failed before', async () => {
    const { failing, process, processor } = setUp()
    failing.set('a', new Error('no'))
    await process([alone('a')])
    failing.set('a', new RetryLater())
    expect(await processor.process([alone('a')], never)).toMatchObject([{ attempts: 1, pauseMs: null }])
  })

  it('is not counted where it was the only one of its batch', async () => {
    const { failing, process, store } = setUp()
    failing.set('a', new RetryLater(1))
    expect(await process([item('a')])).toEqual(['later'])
    expect(store.starts.get(idOf('a')) ?? 0).toBe(0)
  })

  it('where the store cannot take the attempt back is no failure of the message', async () => {
    const { handlers, store, process } = setUp()
    handlers.set('orders', {
      ...handlers.get('orders')!,
      handle() {
        store.isDown = true
        throw new RetryLater(1)
      },
    })
    expect(await process([alone('a')])).toEqual(['unavailable'])
  })

  it('at a broker is called again after its pause and not before, while other keys go on', async () => {
    let calls = 0
    const { store, broker, consumer, clock } = setUpConsumer({
      handle: (name) => {
        if (name === 'busy' && (calls += 1) <= 3) throw new RetryLater(60_000)
      },
    })
    broker.put(delivery('busy', 0, 'A'), delivery('b', 1, 'B'))
    const startedAt = clock.now()
    await consumer.start()
    await broker.settledUpTo('orders/0@1')
    expect(store.effects).toEqual(['b', 'busy'])
    expect(clock.now() - startedAt).toBeGreaterThanOrEqual(120_000)
    expect(store.dead).toEqual([])
  })

  it('takes a pause of up to a week, and refuses what is none', () => {
    expect(isWaybillError(new RetryLater(604_800_000))).toBe(true)
    for (const pauseMs of [-1, Number.NaN, Infinity, 604_800_001])
      expect(() => new RetryLater(pauseMs)).toThrow(expect.objectContaining({ code: 'WB_INVALID_OPTION' }))
  })
})
