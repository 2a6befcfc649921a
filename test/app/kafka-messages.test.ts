import { randomUUID } from 'node:crypto'
import { Producer } from '@platformatic/kafka'
import { Client } from 'pg'
import { expect, it, onTestFinished } from 'vitest'
import {
  type Channel,
  createWaybill,
  defineChannel,
  many,
  type StandardSchema,
  type Waybill,
} from '../../src/index.ts'
import { kafkaTransport } from '../../src/kafka.ts'
import { type PgClient, postgresStore } from '../../src/postgres.ts'
import { until } from '../../src/testing.ts'
import { describeWithKafka, kafkaBrokers, postgresDatabase } from '../setup/servers.ts'
import { newTopic } from '../transports/kafka/scene.ts'

interface Numbered {
  readonly n: number
}

async function service<Sent extends boolean>(channel: Channel<Numbered, Numbered, true, Sent>, retainMs = 0) {
  const { url } = await postgresDatabase()
  const waybill: Waybill<PgClient> = createWaybill<PgClient>(
    {
      store: postgresStore({ connectionString: url }),
      transports: { kafka: kafkaTransport({ brokers: await kafkaBrokers(), partitionsPerTopic: 1 }) },
      channels: [channel],
      retainMs,
      leaseMs: 2000,
      pollMaxMs: 20,
      logLevel: 'silent',
    },
    {},
  )
  const client = new Client(url)
  await client.connect()
  onTestFinished(async () => {
    await waybill.stop()
    await client.end()
  })
  await waybill.migrate()
  return { waybill, client }
}

describeWithKafka('over Kafka', () => {
  it('a delayed message is handled when its time has come, and holds up no other', async () => {
    const reminders = defineChannel<Numbered>({ name: 'reminders', address: newTopic() })
    const { waybill, client } = await service(reminders)
    await client.query('create table effects (id uuid, n int, at timestamptz)')
    waybill.consume(reminders, { consumer: 'one' }, async ({ id, payload }, { tx }) => {
      await tx.query('insert into effects values ($1, $2, clock_timestamp())', [id, payload.n])
    })
    await waybill.start()
    const due = await waybill.transaction(async (tx) => {
      await waybill.publish(tx, reminders, { n: 3 }, { delayMs: 1600 })
      await waybill.publish(tx, reminders, { n: 2 }, { delayMs: 800 })
      await waybill.publish(tx, reminders, { n: 1 })
      return await tx.query('select id, coalesce(not_before, created_at) as due from waybill.outbox')
    })
    expect(due.rows).toHaveLength(3)
    await until('their effects', async () => {
      return (await client.query('select from effects')).rowCount === 3
    })
    const { rows } = await client.query<{ id: string; n: number; at: Date }>(
      'select * from effects order by at',
    )
    expect(rows.map(({ n }) => n)).toEqual([1, 2, 3])
    for (const { id, at } of rows) {
      const [own] = due.rows.filter((row) => row['id'] === id)
      expect(at.getTime()).toBeGreaterThanOrEqual((own!['due'] as Date).getTime())
    }
  })

  it('a replay is passed by where the inbox has it and handled where not; copies are handled by all', async () => {
    const placed = defineChannel<Numbered>({
      name: 'orders.placed',
      address: newTopic(),
      guarantee: 'exactly-once',
      consumers: { shipping: 'inbox' },
      key: () => 'one',
    })
    const { waybill, client } = await service(placed, 86_400_000)
    const handled: { readonly n: number; readonly of: string | undefined }[] = []
    waybill.consume(placed, { consumer: 'shipping' }, async ({ payload, headers }, { tx }) => {
      await tx.query('select')
      handled.push({ n: payload.n, of: headers['waybill-replay-of'] })
    })
    await waybill.start()
    const publish = (...ns: readonly number[]): Promise<readonly string[]> =>
      waybill.transaction((tx) => waybill.publish(tx, placed, many(ns.map((n) => ({ n })))))
    const numbers = async (count: number): Promise<number[]> => {
      await until(`${count} messages`, () => handled.length >= count)
      return handled.splice(0).map(({ n }) => n)
    }
    const kept = (count: number): Promise<unknown> =>
      until('what was sent', async () => (await client.query('select from waybill.sent')).rowCount === count)

    const ids = await publish(1, 2, 3, 4)
    expect(await numbers(4)).toEqual([1, 2, 3, 4])
    await kept(4)
    const { rowCount } = await client.query('delete from waybill.inbox where message_id = any($1)', [
      [ids[1], ids[3]],
    ])
    expect(rowCount).toBe(2)
    expect(await waybill.sent.replay({ channel: placed.name })).toMatchObject({ replayed: 4 })
    // Of the same key, and so behind them.
    const behind = await publish(5)
    expect(await numbers(3)).toEqual([2, 4, 5])

    await kept(5)
    expect(await waybill.sent.replay({ channel: placed.name }, { asNew: true })).toMatchObject({
      replayed: 5,
    })
    await until('the copies', () => handled.length >= 5)
    expect(handled.map(({ n }) => n)).toEqual([1, 2, 3, 4, 5])
    expect(handled.map(({ of }) => of)).toEqual([...ids, ...behind])
  })

  it('one id from two producers is one message, and from two foreign sources it is two (F37)', async () => {
    const topic = newTopic()
    const schema: StandardSchema<Numbered> = {
      '~standard': { version: 1, vendor: 'test', validate: (value) => ({ value: value as Numbered }) },
    }
    const placed = defineChannel({
      name: 'orders.placed',
      address: topic,
      schema,
      guarantee: 'exactly-once',
      consumers: { shipping: 'inbox' },
    })
    const [first, second, consuming] = [await service(placed), await service(placed), await service(placed)]
    await consuming.client.query('create table effects (number int generated always as identity, n int)')
    consuming.waybill.consume(placed, { consumer: 'shipping' }, async ({ payload }, { tx }) => {
      await tx.query('insert into effects (n) values ($1)', [payload.n])
    })
    const effects = async (): Promise<readonly number[]> =>
      (await consuming.client.query<{ n: number }>('select n from effects order by number')).rows.map(
        ({ n }) => n,
      )
    for (const { waybill } of [consuming, first, second]) await waybill.start()
    const id = randomUUID()
    const publish = async ({ waybill, client }: typeof first, n: number, own?: string): Promise<void> => {
      const options = own === undefined ? {} : { id: own }
      await waybill.transaction((tx) => waybill.publish(tx, placed, { n }, options))
      const left = 'select from waybill.outbox'
      await until(`the sending of ${n}`, async () => (await client.query(left)).rowCount === 0)
    }
    await publish(first, 1, id)
    await publish(second, 2, id)
    await publish(second, 3)
    await until('the last of them', async () => (await effects()).includes(3))
    expect(await effects()).toEqual([1, 3])

    const producer = new Producer<string, Buffer, string, string>({
      clientId: 'test',
      bootstrapBrokers: await kafkaBrokers(),
      serializers: { key: bytes, headerKey: bytes, headerValue: bytes },
    })
    onTestFinished(() => producer.close())
    const event = (n: number, source: string, own: string) => ({
      topic,
      partition: 0,
      key: 'k',
      value: Buffer.from(JSON.stringify({ n })),
      headers: { ce_id: own, ce_source: source, ce_type: 'orders.placed' },
    })
    const messages = [event(4, '/a', '7'), event(5, '/b', '7'), event(6, '/a', '7'), event(7, '/a', '8')]
    await producer.send({ messages })
    await until('the last foreign one', async () => (await effects()).includes(7))
    expect(await effects()).toEqual([1, 3, 4, 5, 7])
  })
})

function bytes(text: string | undefined): Buffer {
  return Buffer.from(text ?? '')
}
