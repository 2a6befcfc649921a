import { describe, expect, it } from 'vitest'
import { item, never, setUp } from '../../test/fakes/processor.ts'
import type { FakeTransaction } from '../../test/fakes/store.ts'
import { idOf } from '../../test/fakes/messages.ts'
import { idempotencyKey } from '../kernel/ids.ts'
import { defineChannel } from '../outbox/channel.ts'
import type { BatchHandler, Handler, HandlerEntry } from './handler.ts'
import { createEntry, type ConsumeMiddleware } from './handler-entry.ts'

const channel = defineChannel<string>({ name: 'orders', key: (name) => name })

function entryOf(handler: Handler, ...middleware: ConsumeMiddleware[]): HandlerEntry {
  return createEntry({ channel, form: 'inbox' }, { handler, middleware })
}

function note(log: string[], name: string): ConsumeMiddleware {
  return async (message, _context, next) => {
    log.push(`${name}> ${String(message.payload)}`)
    await next()
    log.push(`<${name}`)
  }
}

describe('middleware', () => {
  it('stands around the handler, the first outermost, once in each run', async () => {
    const log: string[] = []
    const { handlers, process } = setUp()
    handlers.set(
      'orders',
      entryOf(() => void log.push('handler'), note(log, 'a'), note(log, 'b')),
    )
    expect(await process([item('x')])).toEqual(['handled'])
    expect(log).toEqual(['a> x', 'b> x', 'handler', '<b', '<a'])
  })

  it('fails the message by throwing, and keeps it from the handler by not going on', async () => {
    const log: string[] = []
    const { store, handlers, processor } = setUp()
    const guard: ConsumeMiddleware = (message, _context, next) => {
      if (message.payload === 'refused') throw Object.assign(new Error('no'), { code: 'E_GUARD' })
      return message.payload === 'skipped' ? undefined : next()
    }
    handlers.set(
      'orders',
      entryOf((message) => void log.push(message.payload as string), guard),
    )
    const outcomes = await processor.process([item('refused'), item('skipped'), item('good')], never)
    expect(outcomes).toMatchObject([
      { outcome: 'failed', code: 'E_GUARD' },
      { outcome: 'handled' },
      { outcome: 'handled' },
    ])
    expect(log).toEqual(['good'])
    expect(store.handled).toEqual(new Set([idOf('skipped'), idOf('good')]))
  })

  it.each<[string, ConsumeMiddleware]>([
    ['does not await it', (_message, _context, next) => void next()],
    [
      'has forgotten it when it ends',
      async (_message, _context, next) => {
        void next().catch(() => {})
        await new Promise((resolve) => setImmediate(resolve))
      },
    ],
    ['catches it', (_message, _context, next) => next().catch(() => {})],
  ])('cannot make a failure of the handler go unnoticed: one that %s', async (_name, middleware) => {
    const { store, handlers, process } = setUp()
    const handler = async (): Promise<void> => {
      await Promise.resolve()
      throw new Error('no')
    }
    handlers.set('orders', entryOf(handler, middleware))
    expect(await process([item('x')])).toEqual(['failed'])
    expect(store.handled.size).toBe(0)
  })

  it('that fails before the handler has ended waits for it: the transaction is still in use', async () => {
    const order: string[] = []
    const { handlers, processor } = setUp()
    const handler = async (): Promise<void> => {
      await new Promise((resolve) => setImmediate(resolve))
      order.push('handler ended')
    }
    handlers.set(
      'orders',
      entryOf(handler, (_message, _context, next) => {
        void next()
        throw Object.assign(new Error('impatient'), { code: 'E_OWN' })
      }),
    )
    const [outcome] = await processor.process([item('x')], never)
    order.push('failed')
    expect(outcome).toMatchObject({ outcome: 'failed', code: 'E_OWN' })
    expect(order).toEqual(['handler ended', 'failed'])
  })

  it('that goes on twice fails the message: a handler runs once', async () => {
    let runs = 0
    const { handlers, processor } = setUp()
    handlers.set(
      'orders',
      entryOf(
        () => void (runs += 1),
        async (_message, _context, next) => {
          await next()
          await next()
        },
      ),
    )
    const [outcome] = await processor.process([item('x')], never)
    expect(outcome).toMatchObject({ outcome: 'failed', code: 'WB_HANDLER_FAILED' })
    expect(runs).toBe(1)
  })
})

describe('a batch handler', () => {
  function batchEntry(handler: BatchHandler): HandlerEntry {
    return createEntry({ channel, form: 'inbox' }, { batch: true, handler })
  }

  it('gets the messages of its channel that follow each other in one call, in order, without what was handled before', async () => {
    const calls: string[][] = []
    const keys: (readonly string[])[] = []
    const { store, handlers, process } = setUp()
    handlers.set(
      'orders',
      batchEntry((messages, { tx, idempotencyKeys }) => {
        calls.push(messages.map(({ payload }) => payload as string))
        keys.push(idempotencyKeys)
        ;(tx as FakeTransaction).write(`${messages.length} at once`)
      }),
    )
    handlers.set('audit', {
      channel: defineChannel({ name: 'audit' }),
      form: 'inbox',
      handle: () => void calls.push([]),
    })
    store.handled.add(idOf('seen'))
    const items = [
      item('a'),
      item('seen'),
      item('b'),
      item('x', null, { channel: 'audit' }),
      item('c'),
      item('c'),
    ]
    expect(await process(items)).toEqual([
      'handled',
      'duplicate',
      'handled',
      'handled',
      'handled',
      'duplicate',
    ])
    expect(calls).toEqual([['a', 'b'], [], ['c']])
    expect(keys[0]).toEqual([idempotencyKey('shipping', idOf('a')), idempotencyKey('shipping', idOf('b'))])
    expect(store.effects).toEqual(['2 at once', '1 at once'])
  })

  it('is given them one by one where it failed, so that a bad one costs only itself and its key', async () => {
    const calls: string[][] = []
    const { store, handlers, process } = setUp()
    handlers.set(
      'orders',
      batchEntry((messages, { tx }) => {
        const names = messages.map(({ payload }) => payload as string)
        calls.push(names)
        for (const name of names) (tx as FakeTransaction).write(name)
        if (names.includes('bad')) throw new Error('no')
      }),
    )
    expect(await process([item('a'), item('bad', 'B'), item('b2', 'B'), item('c')])).toEqual([
      'handled',
      'failed',
      'skipped',
      'handled',
    ])
    expect(calls).toEqual([['a', 'bad', 'b2', 'c'], ['a'], ['bad'], ['c']])
    expect(store.effects).toEqual(['a', 'c'])
  })

  it('has its middleware around each call', async () => {
    const log: string[] = []
    const { handlers, process } = setUp()
    handlers.set(
      'orders',
      createEntry(
        { channel, form: 'inbox' },
        {
          batch: true,
          handler: () => void log.push('handler'),
          middleware: [
            async (messages, { idempotencyKeys }, next) => {
              log.push(`${messages.length}/${idempotencyKeys.length}`)
              await next()
            },
          ],
        },
      ),
    )
    await process([item('a'), item('b')])
    expect(log).toEqual(['2/2', 'handler'])
  })
})

describe('a time-out of its own', () => {
  it('is the handler’s, in place of the one for all, and the server waits for it', async () => {
    const { store, handlers, processor } = setUp({ handlerTimeoutMs: 5000 })
    const idle: number[] = []
    const { run } = store.transactions
    store.transactions.run = (options, work) => {
      idle.push(options.idleTimeoutMs)
      return run(options, work)
    }
    const stuck = (): Promise<void> => new Promise(() => {})
    handlers.set('orders', createEntry({ channel, form: 'inbox', timeoutMs: 1 }, { handler: stuck }))
    expect(await processor.process([item('a')], never)).toMatchObject([
      { outcome: 'failed', code: 'WB_TIMED_OUT' },
    ])
    handlers.set('orders', createEntry({ channel, form: 'inbox', timeoutMs: 60_000 }, { handler: () => {} }))
    expect(await processor.process([item('b')], never)).toMatchObject([{ outcome: 'handled' }])
    expect(idle).toEqual([10_000, 65_000])
  })
})
