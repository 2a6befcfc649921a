import { describe, expect, it } from 'vitest'
import { FakeClock } from '../../test/fakes/clock.ts'
import { envelope, idOf } from '../../test/fakes/messages.ts'
import { FakeStore, type FakeTransaction } from '../../test/fakes/store.ts'
import { CommitOutcomeUnknownError, WaybillError } from '../kernel/errors.ts'
import type { Envelope } from '../kernel/message.ts'
import { defineChannel } from '../outbox/channel.ts'
import { BatchProcessor, type WorkItem } from './batch-processor.ts'
import type { HandlerEntry } from './handler.ts'

const never = new AbortController().signal

function setUp(options: { admission?: boolean; maxAttempts?: number; handlerTimeoutMs?: number } = {}) {
  const store = new FakeStore()
  const clock = new FakeClock()
  const ran: string[] = []
  const failing = new Map<string, unknown>()
  const attempts: number[] = []
  const orders: HandlerEntry = {
    channel: defineChannel<string>({ name: 'orders', key: (name) => name }),
    handle(message, { tx, attempt }) {
      const name = message.payload as string
      ran.push(name)
      attempts.push(attempt)
      ;(tx as FakeTransaction).write(name)
      if (failing.has(name)) throw failing.get(name)
    },
  }
  const handlers = new Map([['orders', orders]])
  const processor = new BatchProcessor<string>({
    consumer: 'shipping',
    handlers,
    transactions: store.transactions,
    inbox: store.inbox,
    admit:
      options.admission === false
        ? undefined
        : (executor, items) =>
            store.inbox.admit(
              executor,
              'shipping',
              items.map((item) => item.envelope.id),
            ),
    maxAttempts: options.maxAttempts ?? 10,
    handlerTimeoutMs: options.handlerTimeoutMs ?? 5000,
    idleTimeoutMs: 10_000,
    clock,
    random: () => 0.5,
  })
  const process = async (items: readonly WorkItem<string>[], stop: AbortSignal = never): Promise<string[]> =>
    (await processor.process(items, stop)).map((outcome) => outcome.outcome)
  return { store, clock, ran, attempts, failing, handlers, processor, process }
}

function item(name: string, key: string | null = name, more: Partial<Envelope> = {}): WorkItem<string> {
  return { envelope: envelope(name, key, more), ref: name, isAlone: false }
}

function alone(name: string, key: string | null = name): WorkItem<string> {
  return { ...item(name, key), isAlone: true }
}

const deadlock = Object.assign(new Error('deadlock detected'), { code: '40P01' })

describe('a batch that goes well', () => {
  it('runs in one transaction, in the order given', async () => {
    const { store, process } = setUp()
    expect(await process([item('a'), item('b'), item('c')])).toEqual(['handled', 'handled', 'handled'])
    expect(store.effects).toEqual(['a', 'b', 'c'])
    expect(store.commits).toBe(1)
  })

  it('does not run what was handled before, and runs two copies in one batch once (I3)', async () => {
    const { store, process } = setUp()
    await process([item('a')])
    expect(await process([item('a'), item('b'), item('b')])).toEqual(['duplicate', 'handled', 'duplicate'])
    expect(store.effects).toEqual(['a', 'b'])
  })

  it('runs every copy where there is no admission', async () => {
    const { store, process } = setUp({ admission: false })
    expect(await process([item('a'), item('a')])).toEqual(['handled', 'handled'])
    expect(store.effects).toEqual(['a', 'a'])
  })

  it('opens no transaction for no items', async () => {
    const { store, process } = setUp()
    expect(await process([])).toEqual([])
    expect(store.commits).toBe(0)
  })
})

describe('a message that fails', () => {
  it('costs itself and the rest of its key, and nothing else', async () => {
    const { store, failing, process } = setUp()
    failing.set('b1', new Error('no'))
    const items = [item('a', 'A'), item('b1', 'B'), item('b2', 'B'), item('c', 'C')]
    expect(await process(items)).toEqual(['handled', 'failed', 'skipped', 'handled'])
    expect(store.effects).toEqual(['a', 'c'])
    expect(store.handled).toEqual(new Set([idOf('a'), idOf('c')]))
  })

  it('is told with its code, its reason and its counted attempts', async () => {
    const { failing, processor } = setUp()
    failing.set('b', Object.assign(new Error('no stock'), { code: 'E_STOCK' }))
    const [, first] = await processor.process([item('a'), item('b')], never)
    const [second] = await processor.process([alone('b')], never)
    const common = { outcome: 'failed', retryable: true, code: 'E_STOCK', reason: 'no stock' }
    expect(first).toEqual({ ...common, attempts: 1 })
    expect(second).toEqual({ ...common, attempts: 2 })
  })

  it('is not run a second time at once where it was alone already', async () => {
    const { failing, ran, store, process } = setUp()
    failing.set('a', new Error('no'))
    expect(await process([item('a')])).toEqual(['failed'])
    expect(ran).toEqual(['a'])
    expect(store.starts.get(idOf('a'))).toBe(1)
  })

  it('does not hold others of its key on an unordered channel', async () => {
    const { failing, handlers, process, store } = setUp()
    handlers.set('orders', {
      ...handlers.get('orders')!,
      channel: defineChannel<string>({ name: 'orders', key: (name) => name, ordered: false }),
    })
    failing.set('b1', new Error('no'))
    expect(await process([item('b1', 'B'), item('b2', 'B')])).toEqual(['failed', 'handled'])
    expect(store.effects).toEqual(['b2'])
  })

  it('gives its handler the attempt it is, counted before it starts', async () => {
    const { attempts, store, process, failing } = setUp()
    failing.set('a', new Error('no'))
    await process([alone('a')])
    await process([alone('a')])
    expect(attempts).toEqual([1, 2])
    expect(store.starts.get(idOf('a'))).toBe(2)
  })

  it('that started as often as it may without an end is not started again (O6)', async () => {
    const { ran, store, processor } = setUp({ maxAttempts: 3 })
    store.starts.set(idOf('killer'), 3)
    const [outcome] = await processor.process([alone('killer')], never)
    expect(outcome).toMatchObject({
      outcome: 'failed',
      retryable: false,
      attempts: 3,
      code: 'WB_HANDLER_FAILED',
    })
    expect(ran).toEqual([])
  })

  it('fails its key across segments of alone and together', async () => {
    const { failing, process } = setUp()
    failing.set('b1', new Error('no'))
    expect(await process([alone('b1', 'B'), item('b2', 'B'), item('a')])).toEqual([
      'failed',
      'skipped',
      'handled',
    ])
  })
})

describe('a message that cannot be run', () => {
  it('with broken JSON fails for good, and does not fail its batch', async () => {
    const { ran, store, processor } = setUp()
    const bad = item('bad', 'A', { payload: new TextEncoder().encode('{"secret":') })
    const [first, second, third] = await processor.process([bad, item('a2', 'A'), item('c')], never)
    expect(first).toMatchObject({ outcome: 'failed', retryable: false, code: 'WB_ENVELOPE_INVALID' })
    expect(JSON.stringify(first)).not.toContain('secret')
    expect([second, third].map((outcome) => outcome?.outcome)).toEqual(['skipped', 'handled'])
    expect(ran).toEqual(['c'])
    expect(store.commits).toBe(1)
  })

  it('for want of a handler is never done, and counted (P15)', async () => {
    const { store, processor } = setUp()
    const stray = item('stray', null, { channel: 'elsewhere' })
    const [outcome] = await processor.process([stray], never)
    expect(outcome).toMatchObject({
      outcome: 'failed',
      retryable: true,
      attempts: 1,
      code: 'WB_UNKNOWN_CHANNEL',
    })
    expect(store.handled.size).toBe(0)
  })
})

describe('a conflict', () => {
  it('is redone and counts as no attempt', async () => {
    const { store, clock, process } = setUp()
    store.beforeCommit.push(() => {
      throw deadlock
    })
    expect(await process([item('a'), item('b')])).toEqual(['handled', 'handled'])
    expect(store.effects).toEqual(['a', 'b'])
    expect(store.starts.size).toBe(0)
    expect(clock.slept).toHaveLength(1)
  })

  it('is found behind the error a library made of it', async () => {
    const { store, handlers, process } = setUp()
    const errors = [new Error('query failed', { cause: deadlock })]
    handlers.set('orders', {
      ...handlers.get('orders')!,
      handle: () => {
        const error = errors.pop()
        if (error !== undefined) throw error
      },
    })
    expect(await process([item('a')])).toEqual(['handled'])
    expect(store.starts.size).toBe(0)
  })

  it('that does not end counts once for each round of tries', async () => {
    const { failing, ran, store, process } = setUp()
    failing.set('a', deadlock)
    expect(await process([alone('a')])).toEqual(['failed'])
    expect(ran).toHaveLength(5)
    expect(store.starts.get(idOf('a'))).toBe(1)
  })
})

describe('a commit whose answer is lost', () => {
  const lost = (): never => {
    throw new CommitOutcomeUnknownError('77', new Error('connection lost'))
  }

  it('is looked up by admission: what had committed has its effect once', async () => {
    const { store, process } = setUp()
    store.afterCommit.push(lost)
    expect(await process([item('a'), item('b')])).toEqual(['duplicate', 'duplicate'])
    expect(store.effects).toEqual(['a', 'b'])
  })

  it('is looked up by admission: what had not committed is run again', async () => {
    const { store, process } = setUp()
    store.beforeCommit.push(lost)
    expect(await process([item('a'), item('b')])).toEqual(['handled', 'handled'])
    expect(store.effects).toEqual(['a', 'b'])
  })

  it('is unknown, and never failed, where nothing can tell (A5)', async () => {
    const { store, processor } = setUp({ admission: false })
    store.afterCommit.push(lost, lost)
    const outcomes = await processor.process([item('a'), item('b')], never)
    expect(outcomes).toMatchObject([
      { outcome: 'unknown', code: 'WB_COMMIT_OUTCOME_UNKNOWN' },
      { outcome: 'unknown' },
    ])
    expect(await processor.process([alone('c', 'K'), alone('d', 'K')], never)).toMatchObject([
      { outcome: 'unknown' },
      { outcome: 'skipped' },
    ])
  })
})

describe('a store that cannot be reached', () => {
  it('makes nothing failed and counts nothing', async () => {
    const { store, process } = setUp()
    store.isDown = true
    expect(await process([item('a'), item('b')])).toEqual(['unavailable', 'unavailable'])
    expect(await process([alone('a'), item('b')])).toEqual(['unavailable', 'unavailable'])
    expect(store.starts.size).toBe(0)
  })

  it('in the middle of a batch that is redone one by one keeps what is done', async () => {
    const { store, failing, process } = setUp()
    failing.set('b', new Error('no'))
    store.afterCommit.push(() => {
      store.isDown = true
    })
    expect(await process([item('a'), item('b'), item('c')])).toEqual([
      'handled',
      'unavailable',
      'unavailable',
    ])
  })

  it('is told from a message whose effect breaks a deferred constraint at commit', async () => {
    const { store, process } = setUp()
    const violation = Object.assign(new Error('violates foreign key'), { code: '23503' })
    const shutdown = Object.assign(new Error('terminating'), { code: '57P01' })
    store.beforeCommit.push(() => {
      throw violation
    })
    expect(await process([item('a')])).toEqual(['failed'])
    store.beforeCommit.push(() => {
      throw shutdown
    })
    expect(await process([item('a')])).toEqual(['unavailable'])
    store.beforeCommit.push(() => {
      throw new WaybillError('WB_TRANSACTION_ROLLED_BACK', 'it rolled back')
    })
    expect(await process([item('a')])).toEqual(['failed'])
  })
})

describe('a handler past its time', () => {
  it('fails its message, and its signal and the transaction’s own abort', async () => {
    const { store, handlers, processor } = setUp({ handlerTimeoutMs: 10 })
    let given: AbortSignal | undefined
    let late: FakeTransaction | undefined
    handlers.set('orders', {
      ...handlers.get('orders')!,
      handle: (_message, { tx, signal }) => {
        given = signal
        late = tx as FakeTransaction
        return new Promise<void>(() => {})
      },
    })
    const [outcome] = await processor.process([item('slow')], never)
    expect(outcome).toMatchObject({ outcome: 'failed', code: 'WB_TIMED_OUT', attempts: 1 })
    expect(given?.aborted).toBe(true)
    expect(store.signals[0]?.aborted).toBe(true)
    expect(() => late?.write('too late')).toThrow()
    expect(store.effects).toEqual([])
  })
})

describe('stopping', () => {
  it('gives up what runs without counting it, and runs nothing more', async () => {
    const { handlers, store, process } = setUp()
    const stop = new AbortController()
    const started: string[] = []
    handlers.set('orders', {
      ...handlers.get('orders')!,
      handle: (message) => {
        started.push(message.payload as string)
        stop.abort()
        return new Promise<void>(() => {})
      },
    })
    const items = [item('a'), item('b'), alone('c')]
    expect(await process(items, stop.signal)).toEqual(['unavailable', 'unavailable', 'unavailable'])
    expect(started).toEqual(['a'])
    expect(store.starts.size).toBe(0)
    expect(await process([alone('d')], stop.signal)).toEqual(['unavailable'])
  })
})

describe('a foreign message', () => {
  it('is validated, and its handler gets what the schema makes of it', async () => {
    const { handlers, processor } = setUp()
    const got: unknown[] = []
    const schema = {
      '~standard': {
        version: 1,
        vendor: 'test',
        validate: (value: unknown) =>
          typeof value === 'string' ? { value: value.length } : { issues: [{ path: ['size'] }] },
      },
    } as const
    handlers.set('orders', {
      channel: defineChannel({ name: 'orders', schema }),
      handle: (message) => {
        got.push(message.payload)
      },
    })
    const foreign = '0f1ad5a0-c3c6-5bd2-a0d1-f62be1a4b6f7'
    const bad = item('bad', 'K', { id: foreign, payload: new TextEncoder().encode('{"card":"4111"}') })
    const good = item('good', 'L', { id: foreign.replace('0f', '1f') })
    const outcomes = await processor.process([bad, good, item('own', 'M')], never)
    expect(outcomes[0]).toMatchObject({ outcome: 'failed', retryable: false, code: 'WB_INVALID_PAYLOAD' })
    expect(JSON.stringify(outcomes[0])).not.toContain('4111')
    expect(got).toEqual([4, 'own'])
  })

  it('that is not JSON reaches its handler as the bytes it is', async () => {
    const { handlers, process } = setUp()
    let got: unknown
    handlers.set('orders', {
      ...handlers.get('orders')!,
      handle: (message) => {
        got = message.payload
      },
    })
    const payload = new Uint8Array([0, 255, 1])
    expect(await process([item('raw', null, { payload, contentType: 'image/png' })])).toEqual(['handled'])
    expect(got).toEqual(payload)
  })
})
