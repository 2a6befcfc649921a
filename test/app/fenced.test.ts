import { Client } from 'pg'
import { expect, it, onTestFinished } from 'vitest'
import { createWaybill, defineChannel, many } from '../../src/index.ts'
import { kafkaTransport } from '../../src/kafka.ts'
import { errorMeanings } from '../../src/kernel/error-meanings.ts'
import { type PgClient, postgresStore } from '../../src/postgres.ts'
import { until } from '../../src/testing.ts'
import { describeWithKafka, kafkaBrokers, postgresDatabase } from '../setup/servers.ts'
import { createTopic } from '../transports/kafka/broker-desk.ts'
import { readByJava } from '../transports/kafka/transactions.ts'

describeWithKafka('a channel that is exactly once into Kafka', () => {
  it.each([
    ['its store is ahead', 'update waybill.partitions set fenced_number = fenced_number + 7'],
    ['its epochs are older', 'update waybill.partitions set epoch = 0'],
  ])(
    'stops on a partition where %s, and goes on when the store was told what docs/errors.md says',
    async (_what, damage) => {
      const brokers = await kafkaBrokers()
      const { url } = await postgresDatabase()
      const client = new Client({ connectionString: url })
      await client.connect()
      onTestFinished(() => client.end())
      const address = await createTopic(brokers, 1)
      const channel = defineChannel<number>({
        name: 'paid',
        address,
        guarantee: 'exactly-once',
        key: () => 'k',
      })
      const waybill = createWaybill<PgClient>(
        {
          store: postgresStore({ connectionString: url }),
          transports: { kafka: kafkaTransport({ brokers }) },
          channels: [channel],
          partitions: 1,
          leaseMs: 1000,
          holdMaxMs: 100,
          holdInitialMs: 50,
          pollMaxMs: 20,
          logLevel: 'silent',
        },
        {},
      )
      onTestFinished(() => waybill.stop())
      const publish = (...numbers: number[]): Promise<unknown> =>
        waybill.transaction((tx) => waybill.publish(tx, channel, many(numbers)))
      const waiting = async (): Promise<number> => {
        const { rows } = await client.query<{ n: number }>('select count(*)::int as n from waybill.outbox')
        return rows[0]!.n
      }
      const stopped = () =>
        waybill.status().parts.flatMap((part) => (part.kind === 'relay' ? (part.relay?.stopped ?? []) : []))
      await waybill.migrate()
      // Twice, so that the last note is of a later epoch than the first.
      for (const numbers of [[1, 2], [3]]) {
        await waybill.start()
        await publish(...numbers)
        await until('the first ones', async () => (await waiting()) === 0)
        await waybill.stop()
      }
      // As after a restore: of the broker, where the store is ahead of it; of the database, where its epochs are of yesterday.
      await client.query(damage)
      await publish(4, 5)
      await waybill.start()
      const [found] = await until('the stop', () => stopped().length > 0 && stopped())
      expect(await waiting()).toBe(2)

      const [, number, epoch] = /the broker's last transaction is number (\d+) of epoch (\d+)/u.exec(
        found!.reason,
      )!
      await waybill.stop()
      const told = /`(update [^`]+)`/u.exec(errorMeanings.WB_FENCED_MISMATCH.remedy)![1]!
      const sql = told
        .replace(' = N', ` = ${number}`)
        .replace('E)', `${epoch})`)
        .replace(' = P', ` = ${found!.partition}`)
      expect((await client.query(sql)).rowCount).toBe(1)
      await waybill.start()
      await until('the others', async () => (await waiting()) === 0)
      expect(stopped()).toEqual([])
      expect(await readByJava(brokers, address, 5)).toEqual(['1', '2', '3', '4', '5'])
    },
  )
})
