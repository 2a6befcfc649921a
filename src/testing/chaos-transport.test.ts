import { describe, expect, it } from 'vitest'
import type { DrainReport } from '../app/drain.ts'
import { silentLogger } from '../kernel/logger.ts'
import type { Subscription, Transport } from '../ports/transport.ts'
import { chaosTransport, type ChaosTransport } from './chaos-transport.ts'
import { transportConformance } from './conformance/transport.ts'
import { idsOf, messagesTo, textsByKey } from './conformance/transport-scene.ts'
import { until } from './until.ts'

const tenKeys = 'a b c d e f g h i j'.split(' ')

let addresses = 0
const newAddress = (): string => `address-${++addresses}`

function open(definition: ChaosTransport, logger = silentLogger): Transport {
  return definition.open({ logger, applicationName: 'test', source: '/test' })
}

/** What comes of a hundred messages of ten keys, in the order in which it comes. */
async function arrivals(
  definition: ChaosTransport,
  messages = messagesTo(newAddress(), tenKeys, 100),
): ReturnType<Awaited<ReturnType<NonNullable<Transport['subscribe']>>>['receive']> {
  const transport = open(definition)
  const [{ address }] = messages as [(typeof messages)[number]]
  const channels = [{ channel: address, address }]
  const subscription = await transport.subscribe!({ consumer: 'all', channels, onRevoked: () => {} })
  const publisher = await transport.openPublisher!()
  expect(await publisher.publish(messages, 1000)).toEqual(messages.map(() => ({ outcome: 'confirmed' })))
  const { sent, copies } = definition.counts
  const all = []
  while (all.length < sent + copies)
    all.push(...(await subscription.receive(500, AbortSignal.timeout(10_000))))
  expect(definition.isQuiet).toBe(false)
  await subscription.settle(all.slice(-1))
  expect(definition.isQuiet).toBe(true)
  return all
}

describe('a chaos transport', () => {
  describe.each([true, false])('that makes no copies (order kept: %s)', (keepsOrder) => {
    const transport = chaosTransport({ duplicates: 0, delayMs: 5, keepsOrder })
    it.each(transportConformance({ transport, newAddress }))('$name', ({ run }) => run())
  })

  it('brings some twice and some out of turn, the first of each key in order', async () => {
    const definition = chaosTransport({ seed: 7 })
    const messages = messagesTo(newAddress(), tenKeys, 100)
    const all = await arrivals(definition, messages)
    const first = [
      ...new Map(all.toReversed().map((each) => [each.envelope!.id, each])).values(),
    ].toReversed()
    expect(definition.counts).toMatchObject({ sent: 100, copies: all.length - 100 })
    expect(definition.counts.copies).toBeGreaterThan(10)
    expect(definition.counts.overtaking).toBeGreaterThan(10)
    expect(textsByKey(first)).toEqual(expect.objectContaining(textsByKey(messages)))
  })

  it('keeps no order of keys where it is not to', async () => {
    const messages = messagesTo(newAddress(), ['a'], 50)
    const all = await arrivals(chaosTransport({ seed: 7, duplicates: 0, keepsOrder: false }), messages)
    expect(idsOf(all)).not.toEqual(idsOf(messages))
    expect(idsOf(all).toSorted()).toEqual(idsOf(messages).toSorted())
  })

  it('copies the same for the same seed, and says in the log which that was', async () => {
    const copied = async (definition: ChaosTransport): Promise<readonly string[]> => {
      const texts = [...textsByKey(await arrivals(definition)).values()].flat()
      return texts.filter((text, i) => texts.indexOf(text) !== i).toSorted()
    }
    const told: unknown[] = []
    const drawn = chaosTransport()
    open(drawn, { ...silentLogger, info: (fields) => void told.push(fields) })
    expect(told).toEqual([expect.objectContaining({ seed: drawn.seed })])
    expect(await copied(drawn)).toEqual(await copied(chaosTransport({ seed: drawn.seed })))
  })

  it('gives a consumer that comes later what has come before', async () => {
    const definition = chaosTransport({ duplicates: 0, delayMs: 0 })
    const [address, transport] = [newAddress(), open(definition)]
    const publisher = await transport.openPublisher!()
    const messages = messagesTo(address, ['a'], 10)
    await publisher.publish(messages, 1000)
    await until('all of it handed over', () => definition.isQuiet)
    const channels = [{ channel: address, address }]
    const subscription = await transport.subscribe!({ consumer: 'late', channels, onRevoked: () => {} })
    expect(idsOf(await subscription.receive(50, AbortSignal.timeout(10_000)))).toEqual(idsOf(messages))
  })

  it('hands over what a consumer had not settled to a newer instance of it, and back when that ends', async () => {
    const definition = chaosTransport({ duplicates: 0, delayMs: 0 })
    const address = newAddress()
    const publisher = await open(definition).openPublisher!()
    const messages = messagesTo(address, ['a'], 4)
    const revoked: string[] = []
    const join = (name: string): Promise<Subscription> =>
      open(definition).subscribe!({
        consumer: 'all',
        channels: [{ channel: address, address }],
        onRevoked: (streams) => void revoked.push(...streams.map((stream) => `${name} ${stream}`)),
      })
    const receive = (from: Subscription): ReturnType<Subscription['receive']> =>
      from.receive(50, AbortSignal.timeout(10_000))
    const older = await join('older')
    await publisher.publish(messages.slice(0, 1), 1000)
    const [first] = await receive(older)
    const newer = await join('newer')
    expect(revoked).toEqual([`older ${first!.stream}`])
    const idle = new AbortController()
    const waiting = older.receive(50, idle.signal)

    expect(idsOf(await receive(newer))).toEqual(idsOf(messages.slice(0, 1)))
    await publisher.publish(messages.slice(1, 2), 1000)
    const [second] = await receive(newer)
    expect(await older.settle([first!])).toEqual([false])
    expect(definition.isQuiet).toBe(false)
    expect(await newer.settle([second!])).toEqual([true])
    expect(definition.isQuiet).toBe(true)
    idle.abort()
    expect(await waiting).toEqual([])

    await publisher.publish(messages.slice(2, 3), 1000)
    const [third] = await receive(newer)
    await newer.close()
    expect(await newer.settle([third!])).toEqual([false])
    await publisher.publish(messages.slice(3), 1000)
    const rest = [...(await receive(older))]
    if (rest.length === 1) rest.push(...(await receive(older)))
    expect(idsOf(rest)).toEqual(idsOf(messages.slice(2)))
    expect(await older.settle(rest.slice(-1))).toEqual([true])
    expect(definition.isQuiet).toBe(true)
    expect(revoked).toHaveLength(1)
  })

  it('is waited for until the outbox is empty too, also of what handlers publish', async () => {
    const definition = chaosTransport({ duplicates: 0, delayMs: 0 })
    const address = newAddress()
    const transport = open(definition)
    const channels = [{ channel: address, address }]
    const subscription = await transport.subscribe!({ consumer: 'all', channels, onRevoked: () => {} })
    const publisher = await transport.openPublisher!()
    const outbox = [...messagesTo(address, ['a'], 3)]
    let handled = 0
    const over = new AbortController()
    const handling = (async () => {
      for (let all = await subscription.receive(1, over.signal); all.length > 0;) {
        // The first has one more published before it is settled.
        if (handled++ === 0) outbox.push(...messagesTo(address, ['a'], 1))
        await subscription.settle(all)
        all = await subscription.receive(1, over.signal)
      }
    })()
    expect(definition.isQuiet).toBe(true)
    await definition.untilQuiet({
      async drain() {
        await publisher.publish(outbox.splice(0), 1000)
        return { remains: [], isCut: false }
      },
    })
    expect({ handled, left: outbox.length, isQuiet: definition.isQuiet }).toEqual({
      handled: 4,
      left: 0,
      isQuiet: true,
    })
    over.abort()
    await handling
  })

  it('is not quiet while something remains in the outbox', async () => {
    const remains = [
      { transport: 'chaos', channel: 'a', why: 'waiting', count: 1, isAtLeast: false, code: null },
    ] as const
    const drain = async (): Promise<DrainReport> => ({ remains, isCut: false })
    await expect(chaosTransport().untilQuiet({ drain }, { timeoutMs: 30 })).rejects.toMatchObject({
      code: 'WB_TIMED_OUT',
    })
  })

  it('refuses what it cannot do', () => {
    expect(() => chaosTransport({ duplicates: 2 })).toThrow('`duplicates`')
    expect(() => chaosTransport({ delayMs: -1 })).toThrow('`delayMs`')
  })
})
