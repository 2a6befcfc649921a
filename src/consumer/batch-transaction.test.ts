import { describe, expect, it } from 'vitest'
import { idOf } from '../../test/fakes/messages.ts'
import { alone, item, never, setUp } from '../../test/fakes/processor.ts'
import type { FakeTransaction } from '../../test/fakes/store.ts'
import { CommitOutcomeUnknownError, WaybillError } from '../kernel/errors.ts'

const deadlock = Object.assign(new Error('deadlock detected'), { code: '40P01' })

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

  it('uses up no attempt of a message that runs alone: its handler has not begun (O2)', async () => {
    const { store, ran, process } = setUp({ maxAttempts: 2 })
    store.isPoolEmpty = true
    for (let i = 0; i < 5; i++) expect(await process([alone('a')])).toEqual(['unavailable'])
    expect(store.starts.get(idOf('a'))).toBe(0)
    store.isPoolEmpty = false
    expect(await process([alone('a')])).toEqual(['handled'])
    expect(ran).toEqual(['a'])
  })

  it('uses up none where the consumer is told to stop again and again', async () => {
    const { store, handlers, process } = setUp({ maxAttempts: 2 })
    const stopping: AbortController[] = []
    handlers.set('orders', {
      ...handlers.get('orders')!,
      handle: () => {
        stopping.at(-1)!.abort()
        throw new Error('I was told to stop')
      },
    })
    for (let i = 0; i < 5; i++) {
      stopping.push(new AbortController())
      expect(await process([alone('a')], stopping[i]!.signal)).toEqual(['unavailable'])
    }
    expect(store.starts.get(idOf('a'))).toBe(0)
  })

  it('counts where it is lost under the handler, whose statement may be why', async () => {
    const { store, failing, process } = setUp()
    failing.set('a', new Error('Connection terminated unexpectedly'))
    store.runnerError = new WaybillError('WB_STORE_UNREACHABLE', 'the connection was lost')
    expect(await process([alone('a')])).toEqual(['unavailable'])
    expect(store.starts.get(idOf('a'))).toBe(1)
  })

  it('counts where it is lost behind the handler and before its COMMIT, for a statement that nobody awaited may be why', async () => {
    const { store, ran, process } = setUp()
    store.beforeCommit.push(() => {
      throw new WaybillError('WB_STORE_UNREACHABLE', 'the connection was lost')
    })
    expect(await process([alone('a')])).toEqual(['unavailable'])
    expect([ran, store.effects, store.starts.get(idOf('a'))]).toEqual([['a'], [], 1])
  })

  it('counts the message of a batch whose statement ends the session each time, gives it up at last, and no other', async () => {
    const { store, failing, ran, process } = setUp({ maxAttempts: 3 })
    failing.set('b', new Error('Connection terminated unexpectedly'))
    store.runnerError = new WaybillError('WB_STORE_UNREACHABLE', 'the connection was lost')
    const items = [item('b'), item('c')]
    expect(await process([item('a'), ...items])).toEqual(['handled', 'unavailable', 'unavailable'])
    expect(store.effects).toEqual(['a'])
    for (let i = 0; i < 2; i++) expect(await process(items)).toEqual(['unavailable', 'unavailable'])
    expect(await process(items)).toEqual(['failed', 'handled'])
    expect([store.effects, store.starts.get(idOf('b')), store.starts.get(idOf('c'))]).toEqual([
      ['a', 'c'],
      4,
      1,
    ])
    expect(ran.filter((name) => name === 'b')).toHaveLength(7)
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
    const shutDown = (): void => {
      throw shutdown
    }
    store.beforeCommit.push(shutDown, shutDown)
    expect(await process([item('a')])).toEqual(['unavailable'])
    store.beforeCommit.push(() => {
      throw new WaybillError('WB_TRANSACTION_ROLLED_BACK', 'it rolled back')
    })
    expect(await process([item('a')])).toEqual(['failed'])
  })
})

describe('a connection that is lost under a handler', () => {
  it('is the store’s trouble, though the handler threw, and counts from the second time in a row', async () => {
    const { store, failing, processor, attempts } = setUp()
    failing.set('a', new Error('Connection terminated unexpectedly'))
    store.runnerError = new WaybillError('WB_STORE_UNREACHABLE', 'the connection was lost')
    const [outcome] = await processor.process([item('a')], never)
    expect(outcome).toMatchObject({ outcome: 'unavailable', code: 'WB_STORE_UNREACHABLE' })
    expect([attempts, store.starts.get(idOf('a'))]).toEqual([[1, 1], 1])
  })

  it('is the message’s trouble where the handler itself reports another store as lost (O2)', async () => {
    const { failing, process } = setUp()
    failing.set('a', new WaybillError('WB_STORE_UNREACHABLE', 'another database is down'))
    expect(await process([item('a'), item('b')])).toEqual(['failed', 'handled'])
  })

  it('leaves what failed uncounted where the count cannot be written', async () => {
    const { store, handlers, process } = setUp()
    handlers.set('orders', {
      ...handlers.get('orders')!,
      handle: () => {
        store.isDown = true
        throw new Error('no')
      },
    })
    expect(await process([item('a')])).toEqual(['unavailable'])
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
