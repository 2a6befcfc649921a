import { describe, expect, expectTypeOf, it, onTestFinished } from 'vitest'
import { z } from 'zod'
import { FakeExecutor, FakeWriter } from '../../test/fakes/writer.ts'
import { WaybillError } from '../kernel/errors.ts'
import { isUuid } from '../kernel/ids.ts'
import type { SqlExecutor } from '../ports/sql.ts'
import { defineChannel, type Channel } from './channel.ts'
import { many } from './many.ts'
import type { PublishOptions } from './messages.ts'
import { createPublish, type AppendedNote } from './publish.ts'

const plain = defineChannel({ name: 'plain' })
const ordered = defineChannel<{ id: string }>({ name: 'ordered', key: (payload) => payload.id })
const checked = defineChannel({
  name: 'checked',
  schema: z.object({ card: z.string(), lines: z.array(z.object({ total: z.string().transform(Number) })) }),
})
const slow = defineChannel({ name: 'slow', schema: z.string().refine(async () => true) })

function setUp(maxBytes = 1000) {
  const writer = new FakeWriter()
  const tx = new FakeExecutor()
  const notes: AppendedNote[] = []
  let made = 0
  const publish = createPublish({
    writer,
    targets: new Map([plain, ordered, checked, slow].map((c) => [c.name, { channel: c, maxBytes }])),
    executorFor: (handle) => handle as SqlExecutor,
    onAppended: (note) => notes.push(note),
    newId: () => `id-${(made += 1)}`,
  })
  const written = () => writer.appended.flatMap(({ messages }) => messages)
  const text = (i = 0) => new TextDecoder().decode(written()[i]?.payload)
  return { writer, tx, notes, publish, written, text }
}

async function refused(work: Promise<unknown>, code: string, message: RegExp | string = ''): Promise<void> {
  await expect(work).rejects.toThrow(
    expect.objectContaining({ code, message: expect.stringMatching(message) }),
  )
}

describe('publish', () => {
  it('writes one message in the transaction given, and resolves with its id', async () => {
    const { tx, writer, notes, publish, text } = setUp()
    const id = await publish(tx, ordered, { id: 'o1' }, { headers: { tenant: 'acme' } })
    expectTypeOf(id).toEqualTypeOf<string>()
    expect(id).toBe('id-1')
    expect(writer.appended).toMatchObject([{ transaction: tx, channel: 'ordered' }])
    expect(writer.appended[0]?.messages).toMatchObject([
      { id, key: 'o1', contentType: 'application/json', headers: { tenant: 'acme' } },
    ])
    expect(text()).toBe('{"id":"o1"}')
    expect(notes).toEqual([{ transaction: tx, channel: 'ordered', count: 1, transactionId: '4711' }])
  })

  it('writes many with one statement, in order (W8), and resolves with their ids', async () => {
    const { tx, writer, publish, written } = setUp()
    const ids = await publish(tx, ordered, many([{ id: 'b' }, { id: 'a' }, { id: 'b' }]))
    expectTypeOf(ids).toEqualTypeOf<readonly string[]>()
    expect(ids).toEqual(['id-1', 'id-2', 'id-3'])
    expect(writer.appended).toHaveLength(1)
    expect(written().map(({ key }) => key)).toEqual(['b', 'a', 'b'])
  })

  it('takes an array for one payload', async () => {
    const { tx, publish, text } = setUp()
    expect(await publish(tx, plain, [1, 2])).toBe('id-1')
    expect(text()).toBe('[1,2]')
  })

  it('writes nothing for no messages, in a transaction all the same', async () => {
    const { tx, writer, publish } = setUp()
    expect(await publish(tx, plain, many([]))).toEqual([])
    expect(writer.appended).toEqual([])
    tx.state = 'none'
    await refused(publish(tx, plain, many([])), 'WB_NO_TRANSACTION')
  })

  it('makes its ids UUIDs of its own where no other source is given', async () => {
    const tx = new FakeExecutor()
    const targets = new Map([['plain', { channel: plain, maxBytes: 10 }]])
    const publish = createPublish({ writer: new FakeWriter(), targets, executorFor: () => tx })
    expect(isUuid(await publish(tx, plain, 1))).toBe(true)
  })

  it('keeps an id that is given (W3)', async () => {
    const { tx, publish, written } = setUp()
    const id = '0192F0C1-0000-7000-8000-0123456789AB'
    expect(await publish(tx, plain, 1, { id })).toBe(id.toLowerCase())
    expect(written()[0]?.id).toBe(id.toLowerCase())
  })

  it('stores bytes as they are, with their content type', async () => {
    const { tx, publish, written } = setUp()
    const bytes = new Uint8Array([0, 255, 1])
    await publish(tx, plain, bytes)
    await publish(tx, plain, bytes, { contentType: 'image/png' })
    expect(written().map(({ contentType }) => contentType)).toEqual(['application/octet-stream', 'image/png'])
    expect(written()[1]?.payload).toEqual(bytes)
  })

  it('stores what the schema makes of the payload', async () => {
    const { tx, publish, text } = setUp()
    await publish(tx, checked, { card: 'x', lines: [{ total: '7' }] })
    expect(text()).toBe('{"card":"x","lines":[{"total":7}]}')
    // @ts-expect-error: publish takes what the schema takes, not what it makes.
    const wrong = publish(tx, checked, { card: 'x', lines: [{ total: 7 }] })
    await refused(wrong, 'WB_INVALID_PAYLOAD')
  })

  it('reaches the connection in the same turn where the schema is synchronous', () => {
    const { tx, writer, publish } = setUp()
    void publish(tx, checked, { card: 'x', lines: [] })
    expect(writer.appended).toHaveLength(1)
  })

  it('waits for an asynchronous schema', async () => {
    const { tx, publish, text } = setUp()
    await publish(tx, slow, 'x')
    expect(text()).toBe('"x"')
  })
})

describe('middleware around publish', () => {
  it('may change what is published, and what it refuses is not written', async () => {
    const writer = new FakeWriter()
    const tx = new FakeExecutor()
    const publish = createPublish({
      writer,
      targets: new Map([['plain', { channel: plain, maxBytes: 100 }]]),
      executorFor: () => tx,
      middleware: [
        (publication, next) => {
          if (publication.payload === 'secret') throw new Error('not that')
          return next({ ...publication, options: { ...publication.options, key: 'by default' } })
        },
      ],
    })
    await publish(tx, plain, 'open')
    expect(writer.appended[0]?.messages).toMatchObject([{ key: 'by default' }])
    await expect(publish(tx, plain, 'secret')).rejects.toThrow('not that')
    expect(writer.appended).toHaveLength(1)
  })
})

describe('publish refuses before anything is written (W1, W5)', () => {
  it.each(['none', 'failed'] as const)('a handle whose transaction is %s', async (state) => {
    const { tx, writer, publish } = setUp()
    tx.state = state
    await refused(publish(tx, plain, 1), 'WB_NO_TRANSACTION', '"plain"')
    expect(writer.appended).toEqual([])
  })

  it('a transaction that ended while an asynchronous schema was at work', async () => {
    const { tx, writer, publish } = setUp()
    const published = publish(tx, slow, 'x')
    tx.state = 'none'
    await refused(published, 'WB_NO_TRANSACTION')
    expect(writer.appended).toEqual([])
  })

  it('a client that serves another transaction by then', async () => {
    const writer = new FakeWriter()
    const targets = new Map([['slow', { channel: slow as Channel, maxBytes: 10 }]])
    const publish = createPublish({ writer, targets, executorFor: () => new FakeExecutor() })
    await refused(publish({}, slow, 'x'), 'WB_NO_TRANSACTION', 'ended meanwhile')
    expect(writer.appended).toEqual([])
  })

  it('a channel that is not configured', async () => {
    const { tx, publish } = setUp()
    await refused(
      publish(tx, defineChannel({ name: 'plane' }), 1),
      'WB_UNKNOWN_CHANNEL',
      /"plane".*mean "plain"/u,
    )
    await refused(publish(tx, 'plain' as never, 1 as never), 'WB_UNKNOWN_CHANNEL', 'defineChannel')
    await refused(publish(tx, undefined as never, 1 as never), 'WB_UNKNOWN_CHANNEL')
  })

  it('a payload that breaks the schema, naming the path and not the value (S16)', async () => {
    const { tx, publish } = setUp()
    const payload = { card: 4111_1111, lines: [{ total: '1' }, { total: 2 }] } as never
    const error: Error = await publish(tx, checked, payload).then(
      () => new Error('it was published'),
      (thrown: unknown) => thrown as Error,
    )
    expect(error).toMatchObject({
      code: 'WB_INVALID_PAYLOAD',
      message: expect.stringContaining('$.card (and 1 more)'),
    })
    expect(error.message + String(error.cause)).not.toContain('4111')
  })

  it('many messages of which one is wrong, naming which', async () => {
    const { tx, writer, publish } = setUp()
    const wrong = [{ id: 'a' }, { id: '' }]
    await refused(publish(tx, ordered, many(wrong)), 'WB_KEY_REQUIRED', String.raw`\(2 of 2\)`)
    expect(writer.appended).toEqual([])
  })

  it.each<[string, unknown, PublishOptions, string]>([
    ['no key', {}, {}, 'WB_KEY_REQUIRED'],
    ['a key that is no text', { id: 7 }, {}, 'WB_KEY_REQUIRED'],
    ['a key with NUL', { id: 'a\0b' }, {}, 'WB_NUL_CHARACTER'],
    ['a key with half a surrogate pair', { id: 'a\uD800' }, {}, 'WB_UNSERIALISABLE'],
    ['a key that no index can hold', { id: 'é'.repeat(513) }, {}, 'WB_MESSAGE_TOO_LARGE'],
    ['a key function that throws', null, {}, 'WB_KEY_REQUIRED'],
    ['an id that is no UUID', { id: 'a' }, { id: '42' }, 'WB_INVALID_ID'],
    ['a content type that is none', { id: 'a' }, { contentType: 'json' }, 'WB_INVALID_OPTION'],
    ['text as something else than JSON', { id: 'a' }, { contentType: 'image/png' }, 'WB_INVALID_OPTION'],
    ['an unknown option', { id: 'a' }, { header: {} } as PublishOptions, 'WB_INVALID_OPTION'],
    ['a payload JSON cannot carry', { id: 'a', n: 1n }, {}, 'WB_UNSERIALISABLE'],
    ['a message that is too large', { id: 'a', text: 'x'.repeat(1000) }, {}, 'WB_MESSAGE_TOO_LARGE'],
    ['headers that are too large', { id: 'a' }, { headers: { h: 'x'.repeat(990) } }, 'WB_MESSAGE_TOO_LARGE'],
  ])('%s', async (_what, payload, options, code) => {
    const { tx, writer, publish } = setUp()
    await refused(publish(tx, ordered, payload as { id: string }, options), code, 'ordered')
    expect(writer.appended).toEqual([])
  })

  it('one id for many messages', async () => {
    const { tx, publish } = setUp()
    const id = '0192f0c1-0000-7000-8000-0123456789ab'
    await refused(publish(tx, plain, many([1]), { id }), 'WB_INVALID_OPTION', 'many')
  })

  it('not a message of exactly the size its transport takes', async () => {
    const { tx, publish } = setUp(10)
    await publish(tx, plain, new Uint8Array(9), { key: 'k' })
    await refused(
      publish(tx, plain, new Uint8Array(10), { key: 'k' }),
      'WB_MESSAGE_TOO_LARGE',
      '11 bytes.*at most 10',
    )
  })
})

describe('a channel that is full', () => {
  it('is asked for each message of a call before anything is written, and what it throws is thrown', async () => {
    const writer = new FakeWriter()
    const asked: [string, number][] = []
    const publish = createPublish({
      writer,
      targets: new Map([[plain.name, { channel: plain, maxBytes: 1000 }]]),
      executorFor: (handle) => handle as SqlExecutor,
      admit: ({ name }, count) => {
        asked.push([name, count])
        throw new WaybillError('WB_BACKLOG_FULL', 'full', { retryable: 'yes' })
      },
    })
    await refused(publish(new FakeExecutor(), plain, many([1, 2, 3])), 'WB_BACKLOG_FULL')
    expect(asked).toEqual([['plain', 3]])
    expect(writer.appended).toEqual([])
  })
})

describe('a delay', () => {
  it('is for all messages of the call, and is left to the database to reckon', async () => {
    const { tx, writer, publish } = setUp()
    const at = new Date('2030-01-01T00:00:00Z')
    await publish(tx, plain, 1)
    await publish(tx, plain, 1, { delayMs: 1500 })
    await publish(tx, plain, many([1, 2]), { notBefore: at })
    await publish(tx, plain, 1, { notBefore: new Date(-1e15) })
    expect(writer.appended.map(({ delay }) => delay)).toEqual([
      null,
      { ms: 1500 },
      { at },
      { at: new Date(0) },
    ])
  })

  it('is refused on an ordered channel, whose order it would break', async () => {
    const { tx, writer, publish } = setUp()
    const next =
      /ordered.*would overtake it.*Publish it when it is due, or on a channel with `ordered: false`/u
    await refused(publish(tx, ordered, { id: 'o' }, { delayMs: 1 }), 'WB_GUARANTEE_UNSUPPORTED', next)
    await refused(publish(tx, ordered, many([]), { notBefore: new Date() }), 'WB_GUARANTEE_UNSUPPORTED', next)
    expect(writer.appended).toEqual([])
  })

  it.each([
    [{ delayMs: 1, notBefore: new Date() }, /give one of them/u],
    [{ delayMs: -1 }, /from 0 to 31622400000 \(366 days\)/u],
    [{ delayMs: 31_622_400_001 }, /366 days/u],
    [{ delayMs: Number.NaN }, /`delayMs` must be a number/u],
    [{ delayMs: '5' }, /`delayMs` must be a number/u],
    [{ notBefore: new Date('no') }, /`notBefore` must be a Date/u],
    [{ notBefore: '2030-01-01' }, /`notBefore` must be a Date/u],
    [{ notBefore: 5 }, /`notBefore` must be a Date/u],
    [{ notBefore: new Date(8.64e15) }, /before the year 9999/u],
  ])('that cannot be meant is refused before anything is written: %o', async (options, sentence) => {
    const { tx, writer, publish } = setUp()
    await refused(publish(tx, plain, 1, options as PublishOptions), 'WB_INVALID_OPTION', sentence)
    expect(writer.appended).toEqual([])
  })
})

describe('trace context', () => {
  const slot = Symbol.for('opentelemetry.js.api.1')

  function register(api: unknown): void {
    Reflect.set(globalThis, slot, api)
    onTestFinished(() => void Reflect.deleteProperty(globalThis, slot))
  }

  it('is captured at publish (W9), beside the caller’s own headers', async () => {
    register({
      context: { active: () => 'the active context' },
      propagation: {
        inject(context: unknown, carrier: object, setter: { set(c: object, n: string, v: string): void }) {
          setter.set(carrier, 'traceparent', `of ${String(context)}`)
          setter.set(carrier, 'baggage', 'a\0b')
        },
      },
    })
    const { tx, publish, written } = setUp()
    await publish(tx, plain, 1, { headers: { tenant: 'acme' } })
    await publish(tx, plain, many([2, 3]), { delayMs: 5000 })
    const trace = { traceparent: 'of the active context' }
    expect(written().map(({ headers }) => ({ ...headers }))).toEqual([
      { ...trace, tenant: 'acme' },
      trace,
      trace,
    ])
  })

  it('is that of the call, though an asynchronous schema ends in another', async () => {
    let active = 'of the call'
    register({
      context: { active: () => active },
      propagation: {
        inject: (context: unknown, carrier: object, setter: { set(c: object, n: string, v: string): void }) =>
          setter.set(carrier, 'traceparent', String(context)),
      },
    })
    const { tx, publish, written } = setUp()
    const publishing = publish(tx, slow, 'text')
    active = 'of something else'
    await publishing
    expect(written()[0]?.headers).toEqual({ traceparent: 'of the call' })
  })

  it('that cannot be captured breaks no publish', async () => {
    register({
      context: { active: () => 1 },
      propagation: {
        inject: () => {
          throw new Error('tracing is broken')
        },
      },
    })
    const { tx, publish, written } = setUp()
    await publish(tx, plain, 1)
    expect(written()[0]?.headers).toEqual({})
  })

  it('is none where only a part of OpenTelemetry is set up', async () => {
    register({ trace: {} })
    const { tx, publish, written } = setUp()
    await publish(tx, plain, 1)
    expect(written()[0]?.headers).toEqual({})
  })
})
