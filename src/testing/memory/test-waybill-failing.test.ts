import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import type { WaybillConfig } from '../../app/config.ts'
import { RejectMessage, RetryLater } from '../../consumer/handler-errors.ts'
import { defineChannel } from '../../outbox/channel.ts'
import { many } from '../../outbox/many.ts'
import { postgresStore } from '../../stores/postgres/store.ts'
import { kafkaTransport } from '../../transports/kafka/transport.ts'
import { localTransport } from '../../transports/local/transport.ts'
import type { DeliveryReport } from './deliver.ts'
import { createTestWaybill, type TestWaybill } from './test-waybill.ts'

const store = postgresStore({ connectionString: 'postgres://nobody@nowhere:1/none' })
const local = { local: localTransport() }
const placed = defineChannel({
  name: 'orders.placed',
  guarantee: 'exactly-once',
  schema: z.object({ id: z.string(), count: z.number().default(1) }),
  key: (order) => order.id,
})
const planned = defineChannel<string>({ name: 'shipments.planned', guarantee: 'exactly-once' })
const config: WaybillConfig = { store, transports: local, channels: [placed, planned] }

async function publish(waybill: TestWaybill, ...ids: string[]): Promise<void> {
  await waybill.transaction((tx) => waybill.publish(tx, placed, many(ids.map((id) => ({ id })))))
}

describe('a message that fails', () => {
  it('makes deliver reject with what the handler threw, an assertion for example', async () => {
    const waybill = createTestWaybill({ ...config, maxAttempts: 3 })
    let starts = 0
    const assertion = new Error('expected 1 to be 2')
    waybill.consume(placed, { consumer: 'shipping' }, () => {
      starts += 1
      throw assertion
    })
    await publish(waybill, 'a')
    await expect(waybill.deliver()).rejects.toMatchObject({ code: 'WB_HANDLER_FAILED', cause: assertion })
    expect(waybill.failed()).toMatchObject([
      { consumer: 'shipping', reason: 'attempts-exhausted', attempts: 3, message: { key: 'a' } },
    ])
    expect(starts).toBeGreaterThanOrEqual(3)
    await waybill.stop()
  })

  it('is a dead letter, and its key goes on; at once where it was rejected', async () => {
    const waybill = createTestWaybill(config)
    const ran: string[] = []
    waybill.consume(placed, { consumer: 'shipping' }, ({ payload }) => {
      if (payload.count === 1) throw new RejectMessage('never')
      ran.push(payload.id)
    })
    await waybill.transaction((tx) => waybill.publish(tx, placed, many([{ id: 'a' }, { id: 'a', count: 2 }])))
    expect(await waybill.deliver({ mayFail: true })).toMatchObject({ handled: 1, failed: 1, dead: 1 })
    expect(waybill.failed()).toMatchObject([{ reason: 'rejected', attempts: 1, isBlocked: false }])
    expect(ran).toEqual(['a'])
    await waybill.stop()
  })

  it.each(['park', 'block'] as const)(
    'holds its key before its own consumer where the policy is %s',
    async (onPoison) => {
      const held = defineChannel<string>({ name: 'held', key: (text) => text[0]!, onPoison })
      const waybill = createTestWaybill({ ...config, channels: [held], maxAttempts: 2 })
      const ran: Record<string, string[]> = { bad: [], good: [] }
      waybill.consume(held, { consumer: 'bad' }, ({ payload }) => {
        if (payload === 'a1') throw new Error('no')
        ran['bad']!.push(payload)
      })
      waybill.consume(held, { consumer: 'good' }, ({ payload }) => void ran['good']!.push(payload))
      await waybill.transaction((tx) => waybill.publish(tx, held, many(['b0', 'a1', 'a2', 'b1'])))
      expect(await waybill.deliver({ mayFail: true })).toMatchObject({ handled: 6, dead: 1 })
      await waybill.transaction((tx) => waybill.publish(tx, held, many(['a3', 'b2'])))
      await waybill.deliver({ mayFail: true })
      expect(ran).toEqual({ bad: ['b0', 'b1', 'b2'], good: ['b0', 'a1', 'a2', 'b1', 'a3', 'b2'] })
      const failed = waybill.failed().map(({ reason, isBlocked }) => ({ reason, isBlocked }))
      const follower = { reason: 'follower', isBlocked: false }
      expect(failed).toEqual([
        { reason: 'attempts-exhausted', isBlocked: onPoison === 'block' },
        ...(onPoison === 'park' ? [follower, follower] : []),
      ])
      await waybill.stop()
    },
  )

  it('is lost at most once, after one run, and others go on', async () => {
    const seen = defineChannel<string>({ name: 'seen', guarantee: 'at-most-once' })
    const waybill = createTestWaybill({ ...config, channels: [seen] })
    const ran: string[] = []
    waybill.consume(seen, { consumer: 'counter' }, ({ payload }) => {
      ran.push(payload)
      if (payload !== 'good') throw new Error('no')
    })
    for (const text of ['bad', 'worse', 'good'])
      await waybill.transaction((tx) => waybill.publish(tx, seen, text))
    expect(await waybill.deliver({ mayFail: true, copies: 2 })).toMatchObject({ handled: 1, lost: 2 })
    expect(ran).toEqual(['bad', 'worse', 'good'])
    await waybill.transaction((tx) => waybill.publish(tx, seen, 'bad'))
    await expect(waybill.deliver()).rejects.toMatchObject({ code: 'WB_HANDLER_FAILED' })
    await waybill.stop()
  })

  it('is told of where faults lose messages too, which is no failure', async () => {
    const seen = defineChannel<number>({ name: 'seen', guarantee: 'at-most-once' })
    const play = async (wrong: number): Promise<DeliveryReport> => {
      await using waybill = createTestWaybill({ ...config, channels: [seen] })
      waybill.consume(seen, { consumer: 'counter' }, ({ payload }) => {
        if (payload === wrong) throw new Error('31 was expected')
      })
      await waybill.transaction((tx) =>
        waybill.publish(tx, seen, many(Array.from({ length: 40 }, (_, i) => i))),
      )
      return await waybill.deliver({ seed: 7, faults: true })
    }
    expect((await play(-1)).lost).toBeGreaterThan(0)
    await expect(play(3)).rejects.toMatchObject({
      code: 'WB_HANDLER_FAILED',
      cause: new Error('31 was expected'),
    })
  })

  it('is told where it is tried without an end', async () => {
    const waybill = createTestWaybill(config)
    waybill.consume(placed, { consumer: 'shipping' }, () => {
      throw new RetryLater(3_600_000)
    })
    await publish(waybill, 'a')
    const failure = await waybill.deliver().catch((error: unknown) => error as Error)
    expect(failure).toMatchObject({ code: 'WB_TIMED_OUT' })
    const { id } = waybill.published(placed)[0]!
    expect((failure as Error).message).toContain(
      `still tries message ${id} on channel "orders.placed", after a day`,
    )
    await waybill.stop()
  })

  it('is told soon where a handler asks for short pauses without an end, and others may take a while', async () => {
    const waybill = createTestWaybill(config)
    const tried = { patient: 0, endless: 0 }
    waybill.consume(placed, { consumer: 'shipping' }, ({ payload }) => {
      if (payload.id === 'a' && ++tried.patient === 500) return
      if (payload.id === 'b') tried.endless += 1
      throw new RetryLater(10)
    })
    await publish(waybill, 'a')
    expect(await waybill.deliver()).toMatchObject({ handled: 1, dead: 0 })
    await publish(waybill, 'b')
    const { id } = waybill.published(placed)[1]!
    await expect(waybill.deliver({ mayFail: true })).rejects.toMatchObject({
      code: 'WB_TIMED_OUT',
      message: expect.stringMatching(new RegExp(`"shipping" has tried message ${id} .*RetryLater`, 'u')),
    })
    expect(tried.endless).toBeLessThan(1100)
    await waybill.stop()
  })
})

describe('a message of another service', () => {
  const renamed = defineChannel({
    name: 'orders.placed',
    guarantee: 'exactly-once',
    schema: z.object({ orderId: z.string() }),
    key: (order) => order.orderId,
    version: 2,
    upcast: (old) => ({ orderId: (old as { id: string }).id }),
  })

  it('is upcast, judged where it is foreign, and kept where nobody can read it', async () => {
    const waybill = createTestWaybill({
      store,
      transports: { kafka: kafkaTransport({ brokers: ['nowhere:1'] }) },
      channels: [renamed],
    })
    const ran: string[] = []
    waybill.consume(
      renamed,
      { consumer: 'shipping' },
      ({ payload, version }) => void ran.push(`${payload.orderId} ${version}`),
    )
    waybill.receive(renamed, { id: 'old' }, { version: 1, key: 'old' })
    waybill.receive(renamed, { orderId: 'new' })
    waybill.receive(renamed, { orderId: 'foreign' }, { isForeign: true })
    waybill.receive(renamed, { orderId: 7 }, { isForeign: true, key: 'x' })
    waybill.receive(renamed, {}, { version: 3, key: 'y' })
    expect(await waybill.deliver({ mayFail: true })).toMatchObject({ handled: 3, dead: 2 })
    expect(ran).toEqual(['old 1', 'new 2', 'foreign 2'])
    expect(waybill.failed().map(({ errorCode }) => errorCode)).toEqual([
      'WB_INVALID_PAYLOAD',
      'WB_VERSION_UNKNOWN',
    ])
    expect(waybill.published(renamed)).toEqual([])
    await waybill.stop()
  })
})

describe('other forms', () => {
  const kafka = { kafka: kafkaTransport({ brokers: ['nowhere:1'] }) }

  it('takes a checkpoint, and goes on from it after a stop', async () => {
    const waybill = createTestWaybill({ store, transports: kafka, channels: [placed] })
    const ran: string[] = []
    waybill.consume(
      placed,
      { consumer: 'shipping', form: 'checkpoint' },
      ({ payload }) => void ran.push(payload.id),
    )
    await publish(waybill, 'a', 'b')
    await waybill.deliver({ copies: 2 })
    await waybill.stop()
    await publish(waybill, 'c')
    await waybill.deliver()
    expect(ran).toEqual(['a', 'b', 'c'])
    await waybill.stop()
  })

  it('takes batches, and transforms without a store', async () => {
    const out = defineChannel<string>({ name: 'out', guarantee: 'exactly-once' })
    const waybill = createTestWaybill({ transports: kafka, channels: [placed, out] })
    waybill.consume(placed, { consumer: 'shout', transform: [out] }, async ({ payload }, { emit }) => {
      await emit(out, payload.id.toUpperCase())
    })
    waybill.receive(placed, { id: 'a', count: 1 })
    waybill.receive(placed, { id: 'b', count: 1 })
    await waybill.deliver()
    expect(waybill.published(out).map(({ payload }) => payload)).toEqual(['A', 'B'])
    await waybill.stop()

    const batches = createTestWaybill(config)
    const sizes: number[] = []
    batches.consume(placed, { consumer: 'sums', batch: true }, (messages) => void sizes.push(messages.length))
    await publish(batches, ...['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j'])
    await batches.deliver()
    expect(sizes.reduce((sum, size) => sum + size)).toBe(10)
    expect(Math.max(...sizes)).toBeGreaterThan(1)
    await batches.stop()
  })
})
