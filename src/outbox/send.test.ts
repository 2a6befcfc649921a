import { describe, expect, expectTypeOf, it, onTestFinished } from 'vitest'
import { VirtualClock } from '../../test/fakes/clock.ts'
import { systemClock } from '../kernel/clock.ts'
import { PublishOutcomeUnknownError, WaybillError } from '../kernel/errors.ts'
import type { Dispatch, Fate, OutboundMessage } from '../ports/transport.ts'
import { defineChannel } from './channel.ts'
import { ConfirmOutlet } from './confirm-outlet.ts'
import { dispatchOutlet } from './dispatch-outlet.ts'
import { many } from './many.ts'
import type { PublishMiddleware } from './middleware.ts'
import { createSend, type Outlet, type SendOptions } from './send.ts'

const ordered = defineChannel<{ id: string; n?: number }>({ name: 'ordered', key: ({ id }) => id })
const plain = defineChannel({ name: 'plain', outbox: false })
const exact = defineChannel({ name: 'exact', guarantee: 'exactly-once' })

function sendOver(outlet: Outlet, middleware: readonly PublishMiddleware[] = []) {
  const channels = [ordered, plain, exact]
  let made = 0
  return createSend({
    targets: new Map(
      channels.map((channel) => [channel.name, { channel, maxBytes: 1000, address: `to.${channel.name}` }]),
    ),
    outletFor: () => outlet,
    deadlineMs: 1000,
    middleware,
    newId: () => `id-${(made += 1)}`,
  })
}

/** A publisher whose answers are given one after another, and then `confirmed`. */
function confirming(answers: readonly (Fate | 'hang')[] = [], beforeOpen = async (): Promise<void> => {}) {
  const clock = new VirtualClock()
  const calls: string[][] = []
  const left = [...answers]
  const outlet = new ConfirmOutlet({
    open: async () => {
      await beforeOpen()
      return {
        publish: async (batch: readonly OutboundMessage[]) => {
          calls.push(batch.map(({ envelope }) => envelope.id))
          const answer = left.shift() ?? { outcome: 'confirmed' }
          if (answer === 'hang') return await new Promise<never>(() => {})
          return batch.map((_, i) => (i === 0 ? answer : confirmedAfter(answer)))
        },
        close: async () => {},
      }
    },
    timeoutMs: 100,
    retry: { initialMs: 10, maxMs: 50 },
    batchSize: 3,
    ordersBatch: true,
    isOrdered: (channel) => channel === 'ordered',
    clock,
    random: () => 0.5,
  })
  return { clock, calls, outlet, send: sendOver(outlet) }
}

/** Followers of one that was not confirmed fail with it, as a suffix. */
function confirmedAfter(first: Fate): Fate {
  return first.outcome === 'confirmed'
    ? first
    : { outcome: 'rejected', scope: 'message', retryable: true, code: 'WB_ABORTED', reason: 'held back' }
}

const unreachable: Fate = {
  outcome: 'rejected',
  scope: 'destination',
  retryable: true,
  code: 'WB_BROKER_UNREACHABLE',
  reason: 'down',
}
const doubtful: Fate = { outcome: 'unknown', code: 'WB_TIMED_OUT', reason: 'no answer' }
const hopeless: Fate = {
  outcome: 'rejected',
  scope: 'message',
  retryable: false,
  code: 'MESSAGE_TOO_LARGE',
  reason: 'too large',
}

describe('send', () => {
  it('resolves with the id once it is confirmed', async () => {
    const { send, calls } = confirming()
    const id = await send(plain, { a: 1 })
    expectTypeOf(id).toEqualTypeOf<string>()
    expect(id).toBe('id-1')
    expect(calls).toEqual([['id-1']])
  })

  it('sends many, and what is sent in one turn, together', async () => {
    const { send, calls } = confirming()
    const ids = await Promise.all([send(plain, many([1, 2])), send(plain, 3), send(plain, 4)])
    expect(ids).toEqual([['id-1', 'id-2'], 'id-3', 'id-4'])
    expect(calls).toEqual([['id-1', 'id-2', 'id-3'], ['id-4']])
    expect(await send(plain, many([]))).toEqual([])
  })

  it('takes only channels that may be sent', async () => {
    const { send, calls } = confirming()
    // @ts-expect-error: exactly-once goes through the outbox.
    await expect(send(exact, 1)).rejects.toMatchObject({
      code: 'WB_GUARANTEE_UNSUPPORTED',
      message: expect.stringContaining('publish()'),
    })
    expect(calls).toEqual([])
  })

  it.each<[string, SendOptions, string]>([
    ['an unknown option', { deadline: 1 } as SendOptions, 'WB_INVALID_OPTION'],
    ['a deadline of 0', { deadlineMs: 0 }, 'WB_INVALID_OPTION'],
    ['no finite deadline', { deadlineMs: Infinity }, 'WB_INVALID_OPTION'],
    ['a deadline that no timer can keep', { deadlineMs: 3e9 }, 'WB_INVALID_OPTION'],
    ['a signal that is none', { signal: 'x' } as unknown as SendOptions, 'WB_INVALID_OPTION'],
    ['a signal that has aborted', { signal: AbortSignal.abort() }, 'WB_ABORTED'],
    ['an id that is no UUID', { id: '7' }, 'WB_INVALID_ID'],
  ])('refuses %s', async (_what, options, code) => {
    const { send, calls } = confirming()
    await expect(send(plain, 1, options)).rejects.toMatchObject({ code })
    expect(calls).toEqual([])
  })

  it('tries again with the same id, after pauses that grow', async () => {
    const { send, calls, clock } = confirming([unreachable, doubtful, unreachable])
    await send(plain, 1)
    expect(calls).toEqual([['id-1'], ['id-1'], ['id-1'], ['id-1']])
    expect(clock.time).toBe(8 + 15 + 30)
  })

  it('keeps the order of a key over failures, while other messages go on', async () => {
    const { send, calls } = confirming([unreachable])
    const sends = [send(ordered, { id: 'k', n: 1 }), send(ordered, { id: 'k', n: 2 })]
    await Promise.all(sends)
    expect(calls).toEqual([
      ['id-1', 'id-2'],
      ['id-1', 'id-2'],
    ])
  })

  it('throws at the deadline, as unknown where it may be there', async () => {
    const { send } = confirming(['hang'])
    const error = await send(plain, 1).catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(PublishOutcomeUnknownError)
    expect(error).toMatchObject({ messageId: 'id-1', retryable: 'unknown' })
  })

  it('throws at the deadline, as unknown where an earlier try may have brought it', async () => {
    const { send } = confirming([doubtful, ...Array.from({ length: 200 }, () => unreachable)])
    await expect(send(plain, 1)).rejects.toBeInstanceOf(PublishOutcomeUnknownError)
  })

  it('throws at the deadline, as not sent where every try said so', async () => {
    const { send } = confirming(Array.from({ length: 200 }, () => unreachable))
    await expect(send(plain, 1)).rejects.toMatchObject({
      code: 'WB_PUBLISH_REJECTED',
      retryable: 'yes',
      message: expect.stringContaining('WB_BROKER_UNREACHABLE'),
    })
  })

  it('says why a message will never be taken, or what has to be mended before any is', async () => {
    const tooLarge = confirming([hopeless]).send(plain, 1)
    await expect(tooLarge).rejects.toMatchObject({
      message:
        'Message id-1 on channel "plain" was not sent: MESSAGE_TOO_LARGE. too large. It cannot be sent as it is.',
    })
    const missing = new WaybillError('WB_PEER_MISSING', 'Install it: npm install client')
    const without = confirming([], () => Promise.reject(missing)).send(plain, 1)
    await expect(without).rejects.toMatchObject({
      code: 'WB_PUBLISH_REJECTED',
      retryable: 'no',
      message: expect.stringContaining(
        'WB_PEER_MISSING. Install it: npm install client. Nothing can be sent until that is mended.',
      ),
    })
  })

  it('throws at once what no retry can change, and sends what came behind it', async () => {
    const { send, calls } = confirming([hopeless])
    const [first, second] = await Promise.allSettled([
      send(ordered, { id: 'k', n: 1 }),
      send(ordered, { id: 'k', n: 2 }),
    ])
    expect(first).toMatchObject({ reason: { code: 'WB_PUBLISH_REJECTED', retryable: 'no' } })
    expect(second).toMatchObject({ status: 'fulfilled' })
    expect(calls.at(-1)).toEqual(['id-2'])
  })

  it('goes on behind a publisher that answers too little, or never', async () => {
    const calls: string[][] = []
    const answers = [() => Promise.resolve([]), () => new Promise<never>(() => {})]
    const outlet = new ConfirmOutlet({
      open: async () => ({
        publish: async (batch: readonly OutboundMessage[]) => {
          calls.push(batch.map(({ envelope }) => envelope.id))
          return (await answers.shift()?.()) ?? batch.map(() => ({ outcome: 'confirmed' as const }))
        },
        close: async () => {},
      }),
      ...{ timeoutMs: 10, retry: { initialMs: 1, maxMs: 1 }, batchSize: 3, ordersBatch: true },
      ...{ isOrdered: () => true, clock: systemClock, random: () => 0.5 },
    })
    const send = sendOver(outlet)
    await send(ordered, { id: 'a' }, { deadlineMs: 60_000 })
    expect(calls).toEqual([['id-1'], ['id-1'], ['id-1']])
  })

  it('gives up waiting when its signal aborts', async () => {
    const { send, calls } = confirming(['hang'])
    const giveUp = new AbortController()
    const { signal } = giveUp
    const underway = send(plain, 1, { signal }).catch((error: unknown) => error)
    await new Promise((resolve) => setImmediate(resolve))
    expect(calls).toEqual([['id-1']])
    const waiting = send(plain, 2, { signal }).catch((error: unknown) => error)
    giveUp.abort()
    expect(await underway).toBeInstanceOf(PublishOutcomeUnknownError)
    expect(await waiting).toMatchObject({ code: 'WB_PUBLISH_REJECTED' })
    await new Promise((resolve) => setImmediate(resolve))
    expect(calls).toEqual([['id-1']])
  })
})

describe('send when its instance stops', () => {
  it('settles what still waits', async () => {
    const { send, calls, outlet } = confirming(['hang'])
    const underway = send(plain, 1).catch((error: unknown) => error)
    await new Promise((resolve) => setImmediate(resolve))
    expect(calls).toHaveLength(1)
    outlet.giveUp()
    expect(await underway).toBeInstanceOf(PublishOutcomeUnknownError)
  })
})

describe('middleware around send', () => {
  it('runs in order, the first outermost, and may change what is sent or refuse it', async () => {
    const said: string[] = []
    const sent: OutboundMessage[] = []
    const outlet: Outlet = { send: async (messages) => void sent.push(...messages) }
    const naming =
      (name: string): PublishMiddleware =>
      async (publication, next) => {
        said.push(`${name} before ${publication.method} on ${publication.channel}`)
        const headers = { ...publication.options.headers, [name]: 'yes' }
        const ids = await next({ ...publication, options: { ...publication.options, headers } })
        said.push(`${name} after ${String(ids)}`)
        return ids
      }
    const guard: PublishMiddleware = (publication, next) => {
      if (publication.payload === 'secret') throw new Error('not that')
      return next(publication)
    }
    const send = sendOver(outlet, [naming('one'), naming('two'), guard])
    expect(await send(plain, 'open')).toBe('id-1')
    expect(said).toEqual([
      'one before send on plain',
      'two before send on plain',
      'two after id-1',
      'one after id-1',
    ])
    expect({ ...sent[0]?.envelope.headers }).toEqual({ one: 'yes', two: 'yes' })
    await expect(send(plain, 'secret')).rejects.toThrow('not that')
    expect(sent).toHaveLength(1)
  })

  it('passes a call on once, also without saying what', async () => {
    const sent: OutboundMessage[] = []
    const outlet: Outlet = { send: async (messages) => void sent.push(...messages) }
    const send = sendOver(outlet, [(_publication, next) => next()])
    await send(plain, 1)
    expect(sent).toHaveLength(1)
    const twice = sendOver(outlet, [
      async (publication, next) => {
        await next(publication)
        return await next(publication)
      },
    ])
    await expect(twice(plain, 1)).rejects.toMatchObject({ code: 'WB_INVALID_OPTION' })
    expect(sent).toHaveLength(2)
  })
})

describe('send at most once', () => {
  function dispatching(results: readonly Dispatch[] = []) {
    const calls: string[][] = []
    const dropped: string[] = []
    let dispatched = 0
    const left = [...results]
    const outlet = dispatchOutlet({
      open: async () => ({
        dispatch: async (batch: readonly OutboundMessage[]) => {
          calls.push(batch.map(({ envelope }) => envelope.id))
          return batch.map(() => left.shift() ?? { outcome: 'dispatched' })
        },
        isReady: async () => true,
        close: async () => {},
      }),
      timeoutMs: 100,
      onDropped: ({ envelope }, { code }) => dropped.push(`${envelope.id} ${code}`),
      onDispatched: (count) => {
        dispatched += count
      },
    })
    return { send: sendOver(outlet), calls, dropped, count: () => dispatched }
  }

  it('hands over once, together, and counts what did not leave', async () => {
    const { send, calls, dropped, count } = dispatching([
      { outcome: 'dispatched' },
      { outcome: 'dropped', code: 'WB_BROKER_UNREACHABLE', reason: 'down' },
    ])
    expect(await Promise.all([send(plain, 1), send(plain, 2), send(plain, 3)])).toEqual([
      'id-1',
      'id-2',
      'id-3',
    ])
    expect(calls).toEqual([['id-1', 'id-2', 'id-3']])
    expect(dropped).toEqual(['id-2 WB_BROKER_UNREACHABLE'])
    expect(count()).toBe(2)
    await send(plain, 4)
    expect(calls).toHaveLength(2)
  })
})

it('hands over at most once however many there are', async () => {
  let count = 0
  const outlet = dispatchOutlet({
    open: async () => ({
      dispatch: async (batch: readonly OutboundMessage[]) => batch.map(() => ({ outcome: 'dispatched' })),
      isReady: async () => true,
      close: async () => {},
    }),
    timeoutMs: 100,
    onDropped: () => {},
    onDispatched: (more) => {
      count += more
    },
  })
  await sendOver(outlet)(plain, many(Array.from({ length: 200_000 }, () => 1)))
  expect(count).toBe(200_000)
})

describe('send() without a place to wait', () => {
  it.each([{ delayMs: 5 }, { notBefore: new Date() }, { delayMs: undefined }])(
    'refuses a delay, and names publish(): %o',
    async (options) => {
      const { send, calls } = confirming()
      await expect(send(ordered, { id: 'a' }, options as SendOptions)).rejects.toMatchObject({
        code: 'WB_INVALID_OPTION',
        message: expect.stringMatching(
          /nothing is stored that could wait. Use publish\(\) in a transaction/u,
        ),
      })
      expect(calls).toEqual([])
    },
  )

  it('carries the trace context of the call (W9)', async () => {
    const slot = Symbol.for('opentelemetry.js.api.1')
    Reflect.set(globalThis, slot, {
      context: { active: () => 'of the call' },
      propagation: {
        inject: (context: unknown, carrier: object, setter: { set(c: object, n: string, v: string): void }) =>
          setter.set(carrier, 'traceparent', String(context)),
      },
    })
    onTestFinished(() => void Reflect.deleteProperty(globalThis, slot))
    const sent: OutboundMessage[] = []
    await sendOver({ send: async (messages) => void sent.push(...messages) })(
      ordered,
      many([{ id: 'a' }, { id: 'b' }]),
    )
    const traces = sent.map(({ envelope }) => envelope.headers['traceparent'])
    expect(traces).toEqual(['of the call', 'of the call'])
  })
})
