import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import type { WaybillConfig } from '../../app/config.ts'
import { defineChannel } from '../../outbox/channel.ts'
import { many } from '../../outbox/many.ts'
import { postgresStore } from '../../stores/postgres/store.ts'
import { kafkaTransport } from '../../transports/kafka/transport.ts'
import { localTransport } from '../../transports/local/transport.ts'
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

describe('what was published', () => {
  it('is there once its transaction has committed, as a handler gets it', async () => {
    const waybill = createTestWaybill(config)
    await waybill.transaction(async (tx) => {
      await waybill.publish(tx, placed, { id: 'a' })
      expect(waybill.published(placed)).toEqual([])
    })
    expect(waybill.published(placed)).toMatchObject([
      { payload: { id: 'a', count: 1 }, key: 'a', version: 1 },
    ])
  })

  it('is not there where it rolled back, though nobody awaited the publish', async () => {
    const waybill = createTestWaybill(config)
    const failing = waybill.transaction(async (tx) => {
      void waybill.publish(tx, placed, { id: 'a' })
      throw new Error('no stock')
    })
    await expect(failing).rejects.toThrow('no stock')
    const invalid = waybill.transaction(async (tx) => {
      void waybill.publish(tx, placed, { id: 'a' })
      void waybill.publish(tx, placed, { id: 7 as never })
    })
    await expect(invalid).rejects.toMatchObject({ code: 'WB_INVALID_PAYLOAD' })
    expect(waybill.published(placed)).toEqual([])
  })

  it('goes through middleware, and is refused outside a transaction, or after its end', async () => {
    const waybill = createTestWaybill(config)
    waybill.use({
      publish: (publication, next) => next({ ...publication, options: { headers: { by: 'test' } } }),
    })
    let kept: unknown
    await waybill.transaction(async (tx) => {
      kept = tx
      await waybill.publish(tx, placed, { id: 'a' })
    })
    expect(waybill.published(placed)).toMatchObject([{ headers: { by: 'test' } }])
    const foreign = { execute: async () => [], transactionState: () => 'active' }
    for (const handle of [kept, {}, foreign]) {
      await expect(waybill.publish(handle, placed, { id: 'b' })).rejects.toMatchObject({
        code: 'WB_NO_TRANSACTION',
      })
    }
  })

  it('is also what was sent without a transaction', async () => {
    const seen = defineChannel<string>({ name: 'page.seen', guarantee: 'at-most-once', outbox: false })
    const told = defineChannel<string>({ name: 'page.told', outbox: false })
    const waybill = createTestWaybill({
      transports: { kafka: kafkaTransport({ brokers: ['nowhere:1'] }) },
      channels: [seen, told],
    })
    await waybill.send(seen, 'home')
    await waybill.send(told, 'news')
    expect(waybill.published(seen)).toMatchObject([{ payload: 'home' }])
    expect(waybill.published(told)).toMatchObject([{ payload: 'news' }])
  })
})

describe('a configuration that cannot hold', () => {
  it('is refused as it is by the instance it stands for', async () => {
    const once = defineChannel<string>({ name: 'once', guarantee: 'effectively-once' })
    const waybill = createTestWaybill({ store, transports: local, channels: [once] })
    waybill.consume(once, { consumer: 'shipping' }, () => {})
    await expect(waybill.deliver()).rejects.toMatchObject({ code: 'WB_GUARANTEE_UNSUPPORTED' })
    expect(() => createTestWaybill({ ...config, leasMs: 1 } as never)).toThrow('leaseMs')
  })
})

describe('deliver', () => {
  it('runs the handlers with what they publish, until nothing is left', async () => {
    const waybill = createTestWaybill(config)
    const seen: string[] = []
    waybill.consume(placed, { consumer: 'shipping' }, async ({ payload }, { tx }) => {
      await waybill.publish(tx, planned, `ship ${payload.id}`)
    })
    waybill.consume(planned, { consumer: 'mail' }, ({ payload }) => void seen.push(payload))
    await publish(waybill, 'a', 'b')
    expect(await waybill.deliver()).toEqual({ handled: 4, duplicates: 0, failed: 0, dead: 0, lost: 0 })
    expect(seen).toEqual(['ship a', 'ship b'])
    expect(await waybill.deliver()).toMatchObject({ handled: 0 })
    await waybill.stop()
  })

  it('gives handlers the stand-in, and keeps or forgets what was written in it', async () => {
    const rows: string[] = []
    const ended: string[] = []
    const waybill = createTestWaybill(config, {
      begin() {
        const written: string[] = []
        return {
          tx: { insert: (row: string) => void written.push(row) },
          commit: () => void rows.push(...written),
          rollback: () => void ended.push('rolled back'),
        }
      },
    })
    waybill.consume(placed, { consumer: 'shipping' }, ({ payload }, { tx, attempt }) => {
      ;(tx as { insert(row: string): void }).insert(`${payload.id} ${attempt}`)
      if (attempt < 3) throw new Error('not yet')
    })
    await publish(waybill, 'a')
    expect(await waybill.deliver()).toMatchObject({ handled: 1, failed: 2 })
    expect(rows).toEqual(['a 3'])
    expect(ended.length).toBeGreaterThanOrEqual(2)
    await waybill.stop()
  })

  it('rolls back where the stand-in cannot commit, and refuses one that is given twice at a time', async () => {
    const tx = {}
    const refusing = createTestWaybill(config, {
      begin: () => ({
        tx,
        commit() {
          throw new Error('deferred constraint')
        },
      }),
    })
    await expect(publish(refusing, 'a')).rejects.toThrow('deferred constraint')
    expect(refusing.published(placed)).toEqual([])
    const twice = refusing.transaction(() => publish(refusing, 'a'))
    await expect(twice).rejects.toMatchObject({ code: 'WB_INVALID_OPTION' })
  })

  it('says so where a handler needs a database and there is no stand-in', async () => {
    const waybill = createTestWaybill(config)
    waybill.consume(placed, { consumer: 'shipping' }, (_message, { tx }) => {
      ;(tx as { query(text: string): void }).query('insert into shipments default values')
    })
    await publish(waybill, 'a')
    await expect(waybill.deliver()).rejects.toMatchObject({
      code: 'WB_INVALID_OPTION',
      message: expect.stringContaining('tx.query'),
    })
    await waybill.stop()
  })

  it('runs a handler once for all the copies where there is an inbox, and each time where there is none', async () => {
    const told = defineChannel<string>({ name: 'told' })
    const waybill = createTestWaybill({ ...config, channels: [placed, told] })
    const ran: string[] = []
    waybill.consume(placed, { consumer: 'shipping' }, ({ payload }) => void ran.push(payload.id))
    waybill.consume(told, { consumer: 'mail' }, ({ payload }) => void ran.push(payload))
    await publish(waybill, 'a')
    await waybill.transaction((tx) => waybill.publish(tx, told, 'x'))
    expect(await waybill.deliver({ copies: 3 })).toMatchObject({ handled: 4, duplicates: 2 })
    expect(ran.toSorted()).toEqual(['a', 'x', 'x', 'x'])
    await waybill.stop()
  })

  it('counts each copy as a duplicate, also where there are more of them than attempts', async () => {
    const waybill = createTestWaybill({ ...config, maxAttempts: 2 })
    waybill.consume(placed, { consumer: 'shipping' }, () => {})
    await publish(waybill, 'a')
    const all = { handled: 1, duplicates: 4, failed: 0, dead: 0, lost: 0 }
    expect(await waybill.deliver({ copies: 5 })).toEqual(all)
    await waybill.stop()
  })

  it('brings a copy behind what came after it, as a crash does', async () => {
    const set = defineChannel<{ id: string; state: string }>({
      name: 'states',
      guarantee: 'effectively-once',
      key: ({ id }) => id,
    })
    const waybill = createTestWaybill({ ...config, channels: [set] })
    const state = new Map<string, string>()
    const history: string[] = []
    waybill.consume(set, { consumer: 'view', idempotent: true }, ({ payload }) => {
      state.set(payload.id, payload.state)
      history.push(payload.state)
    })
    for (const to of ['open', 'closed'])
      await waybill.transaction((tx) => waybill.publish(tx, set, { id: 'a', state: to }))
    await waybill.deliver({ copies: 2 })
    expect(history).toEqual(['open', 'closed', 'open', 'closed'])
    await waybill.stop()
  })

  it('keeps the order of each key in any other order', async () => {
    const orders = new Set<string>()
    for (let seed = 1; seed <= 10; seed++) {
      const waybill = createTestWaybill(config)
      const ran: string[] = []
      waybill.consume(
        placed,
        { consumer: 'shipping' },
        ({ payload }) => void ran.push(`${payload.id}${payload.count}`),
      )
      const orders1 = ['a', 'b', 'c'].flatMap((id) => [1, 2].map((count) => ({ id, count })))
      await waybill.transaction((tx) => waybill.publish(tx, placed, many(orders1)))
      await waybill.deliver({ seed })
      for (const id of ['a', 'b', 'c'])
        expect(ran.filter((one) => one.startsWith(id))).toEqual([`${id}1`, `${id}2`])
      orders.add(ran.join())
      await waybill.stop()
    }
    expect(orders.size).toBeGreaterThan(5)
  })

  it('leaves what is delayed until that is asked for', async () => {
    const later = defineChannel<string>({ name: 'later' })
    const waybill = createTestWaybill({ ...config, channels: [later] })
    const ran: string[] = []
    waybill.consume(later, { consumer: 'mail' }, ({ payload }) => void ran.push(payload))
    await waybill.transaction((tx) => waybill.publish(tx, later, 'x', { delayMs: 1000 }))
    await waybill.deliver()
    expect(ran).toEqual([])
    await waybill.deliver({ delayed: true })
    expect(ran).toEqual(['x'])
    await waybill.stop()
  })

  it('waits for handlers that wait for something real, without letting time pass meanwhile', async () => {
    const waybill = createTestWaybill({ ...config, handlerTimeoutMs: 1000 })
    const [begun, answered] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    let done = 0
    waybill.consume(placed, { consumer: 'shipping', concurrency: 4 }, async () => {
      begun.resolve()
      await answered.promise
      done += 1
    })
    await publish(waybill, 'a', 'b', 'c')
    const delivered = waybill.deliver()
    await begun.promise
    // So many turns of the event loop would be hours of a clock that went on: each would end a handler's time.
    for (let turn = 0; turn < 100; turn++) await new Promise(setImmediate)
    answered.resolve()
    expect(await delivered).toMatchObject({ handled: 3, failed: 0 })
    expect(done).toBe(3)
    await waybill.stop()
  })
})

it('has no desk, and says what there is in its place', async () => {
  const waybill = createTestWaybill(config)
  await expect(waybill.deadLetters.list()).rejects.toThrow('failed()')
  await expect(waybill.inspect()).rejects.toThrow('failed()')
  await waybill.stop()
})
