import { describe, expect, it } from 'vitest'
import { idOf } from '../../test/fakes/messages.ts'
import { alone, item, never, setUp } from '../../test/fakes/processor.ts'
import { CommitOutcomeUnknownError } from '../kernel/errors.ts'
import { idempotencyKey } from '../kernel/ids.ts'
import { defineChannel } from '../outbox/channel.ts'

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
    const common = {
      outcome: 'failed',
      retryable: true,
      isUnreadable: false,
      code: 'E_STOCK',
      reason: 'no stock',
    }
    expect(first).toEqual({ ...common, attempts: 1 })
    expect(second).toEqual({ ...common, attempts: 2 })
  })

  it('is none where its handler has ended and only the answer to its COMMIT was lost, however often (F2)', async () => {
    const { store, process } = setUp({ admission: false, maxAttempts: 3 })
    const lose = (): void => {
      throw new CommitOutcomeUnknownError('77', new Error('connection lost'))
    }
    for (let i = 0; i < 5; i++) {
      store.afterCommit.push(lose)
      expect(await process([alone('a')])).toEqual(['unknown'])
    }
    expect(await process([alone('a')])).toEqual(['handled'])
    expect(store.starts.get(idOf('a'))).toBe(1)
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

  it('is not buried for coming again after its handler ended well, where nothing notes that (F2)', async () => {
    const { handlers, process, ran, store } = setUp({ admission: false, maxAttempts: 2 })
    handlers.set('orders', { ...handlers.get('orders')!, form: 'settle-after' })
    // Its settlement is never answered.
    for (let i = 0; i < 5; i++) expect(await process([alone('a')])).toEqual(['handled'])
    expect(ran).toHaveLength(5)
    expect(store.starts.get(idOf('a'))).toBe(0)
  })

  it('gives its handler the attempt it is, counted before it starts', async () => {
    const { attempts, store, process, failing } = setUp()
    failing.set('a', new Error('no'))
    await process([alone('a')])
    await process([alone('a')])
    expect(attempts).toEqual([1, 2])
    expect(store.starts.get(idOf('a'))).toBe(2)
  })

  it('gives its handler the same idempotency key in every run, whether in a batch or alone', async () => {
    const { handlers, process } = setUp()
    const keys: string[] = []
    handlers.set('orders', {
      ...handlers.get('orders')!,
      handle: (_message, { idempotencyKey: key }) => {
        keys.push(key)
        throw new Error('no')
      },
    })
    await process([item('a'), item('b')])
    await process([alone('a')])
    expect(new Set(keys)).toEqual(new Set([key('a'), key('b')]))
    expect(keys.filter((each) => each === key('a')).length).toBeGreaterThan(1)
    function key(name: string): string {
      return idempotencyKey('shipping', idOf(name))
    }
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
      form: 'inbox',
      handle: (message) => {
        got.push(message.payload)
      },
    })
    const isForeign = true as const
    const bad = item('bad', 'K', { isForeign, payload: new TextEncoder().encode('{"card":"4111"}') })
    const good = item('good', 'L', { isForeign })
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
