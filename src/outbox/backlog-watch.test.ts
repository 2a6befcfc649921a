import { describe, expect, it, onTestFinished } from 'vitest'
import { VirtualClock } from '../../test/fakes/clock.ts'
import type { Logger } from '../kernel/logger.ts'
import { BacklogWatch } from './backlog-watch.ts'
import { defineChannel } from './channel.ts'

const full = { code: 'WB_BACKLOG_FULL', retryable: 'yes' }
const orders = defineChannel({ name: 'orders', maxPending: 100 })
const mail = defineChannel({ name: 'mail', maxPending: 10, whenFull: 'warn' })

interface Asked {
  readonly channel: string
  readonly most: number
  readonly answer: (pending: number | Error) => void
}

/** Time passes only while the watch rests: each of its counts waits here until the test answers it. */
function setUp() {
  const clock = new VirtualClock()
  const lines: [string, object, string][] = []
  const tell =
    (level: string) =>
    (fields: object, message: string): void =>
      void lines.push([level, fields, message])
  const logger = { info: tell('info'), warn: tell('warn') } as unknown as Logger
  const asked: Asked[] = []
  let onAsked: (() => void) | undefined
  let stops = 0
  const watch = new BacklogWatch({
    count: (channel, most) =>
      new Promise((resolve, reject) => {
        const answer = (pending: number | Error): void =>
          typeof pending === 'number' ? resolve(pending) : reject(pending)
        asked.push({ channel, most, answer })
        onAsked?.()
      }),
    stopped: async () => void (stops += 1),
    clock,
    logger,
  })
  const next = async (): Promise<Asked> => {
    while (asked.length === 0) await new Promise<void>((resolve) => (onAsked = resolve))
    return asked.shift()!
  }
  /** Answers the count that waits, or comes, and awaits the next one: the answer has been taken in then. */
  const count = async (...answers: (number | Error)[]): Promise<Asked> => {
    for (const pending of answers) (await next()).answer(pending)
    const waiting = await next()
    asked.unshift(waiting)
    return waiting
  }
  const stop = async (): Promise<void> => {
    const stopping = watch.stop()
    for (const each of asked.splice(0)) each.answer(0)
    await stopping
  }
  onTestFinished(stop)
  return { clock, watch, lines, asked, count, stop, stops: () => stops }
}

describe('a channel with `maxPending`', () => {
  it('refuses at its limit, names count and limit, and takes messages again when the backlog has fallen', async () => {
    const { watch, count } = setUp()
    watch.admit(orders, 1)
    expect(await count(100)).toMatchObject({ channel: 'orders', most: 100 })
    expect(() => watch.admit(orders, 1)).toThrow(
      expect.objectContaining({
        ...full,
        message: expect.stringMatching(
          /100 messages or more of channel "orders".*`maxPending` is 100\. Run .*again/u,
        ),
      }),
    )
    expect(watch.status()).toEqual([{ channel: 'orders', maxPending: 100, pending: 100, error: undefined }])
    await count(99)
    watch.admit(orders, 1)
  })

  it('counts each message of a call, and says where a call alone is too large', async () => {
    const { watch, count } = setUp()
    watch.admit(orders, 1)
    await count(90)
    watch.admit(orders, 10)
    const refused = (text: RegExp) =>
      expect.objectContaining({ ...full, message: expect.stringMatching(text) })
    expect(() => watch.admit(orders, 11)).toThrow(refused(/this call has 11 more.*Run/u))
    expect(() => watch.admit(orders, 101)).toThrow(refused(/Split the call/u))
  })

  it('refuses nothing before the first count, and asks for none where a channel has no limit', async () => {
    const { watch } = setUp()
    watch.admit(defineChannel({ name: 'free' }), 1_000_000)
    watch.admit(orders, 0)
    expect(watch.isUsed).toBe(false)
    watch.admit(orders, 1_000_000)
    expect(watch.status()).toMatchObject([{ pending: null }])
  })

  it('only warns where it is told to, once in a while', async () => {
    const { watch, lines, count } = setUp()
    watch.admit(mail, 1)
    await count(10)
    for (let i = 0; i < 50; i++) watch.admit(mail, 1)
    const line = [
      'warn',
      { channel: 'mail', pending: 10, maxPending: 10 },
      'more messages wait than its limit allows',
    ]
    expect(lines).toEqual([line])
    await count(...Array.from({ length: 20 }, () => 10))
    watch.admit(mail, 1)
    expect(lines).toEqual([line, line])
  })
})

describe('the counting', () => {
  it('goes on about once a second, and rests nineteen times as long as it took', async () => {
    const { clock, watch, count } = setUp()
    watch.admit(orders, 1)
    await count(0)
    const first = clock.now()
    await count(0)
    expect(clock.now() - first).toBe(1000)
    clock.time += 500
    const slow = clock.now()
    await count(0)
    expect(clock.now() - slow).toBe(19 * 500)
  })

  it('comes sooner where what was published may have filled the room', async () => {
    const { clock, watch, count } = setUp()
    watch.admit(orders, 1)
    await count(50)
    const first = clock.now()
    watch.admit(orders, 50)
    await count(50)
    expect(clock.now() - first).toBeLessThan(1000)
  })

  it('that fails refuses nothing once the last count is old, is told, and is told again when it works', async () => {
    const { watch, lines, count } = setUp()
    watch.admit(orders, 1)
    await count(100)
    await count(new Error('no'))
    expect(() => watch.admit(orders, 1)).toThrow(expect.objectContaining(full))
    await count(...Array.from({ length: 20 }, () => new Error('no')))
    watch.admit(orders, 1)
    expect(watch.status()).toEqual([{ channel: 'orders', maxPending: 100, pending: null, error: 'Error' }])
    expect(lines.length).toBeGreaterThan(1)
    expect(lines.length).toBeLessThan(10)
    expect(lines[0]).toEqual([
      'warn',
      { channel: 'orders', code: 'Error', error: 'no' },
      'could not count what waits of it; nothing of it is refused until that is known again',
    ])
    await count(100)
    expect(lines.at(-1)).toEqual(['info', { channel: 'orders' }, 'what waits of it is counted again'])
    expect(() => watch.admit(orders, 1)).toThrow(expect.objectContaining(full))
  })

  it('ends with stop(), which can be called again, and begins anew with the next publish', async () => {
    const { watch, count, stop, stops } = setUp()
    await stop()
    watch.admit(orders, 1)
    await count(100)
    await stop()
    expect(watch.isUsed).toBe(false)
    expect(stops()).toBe(2)
    watch.admit(orders, 1)
    await count(100)
    expect(() => watch.admit(orders, 1)).toThrow(expect.objectContaining(full))
  })

  it('does not begin anew with what is published while it stops, and does with what is published after it', async () => {
    const { watch, asked, count, stops } = setUp()
    watch.admit(orders, 1)
    await count()
    const [counting] = asked.splice(0)
    const stopping = watch.stop()
    watch.admit(orders, 1)
    counting!.answer(0)
    await stopping
    expect(asked).toEqual([])
    expect(watch.isUsed).toBe(false)
    expect(stops()).toBe(1)
    watch.admit(orders, 1)
    await count(100)
    expect(() => watch.admit(orders, 1)).toThrow(expect.objectContaining(full))
  })
})
