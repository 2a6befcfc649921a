import { expect, test } from 'vitest'
import { Connections } from '../../../src/stores/postgres/connections.ts'
import { deadText, lanesText, linesText } from '../../../src/stores/postgres/census-statements.ts'
import { postgresDatabase } from '../../setup/servers.ts'
import { blocks, fullPasses, prepare } from './explain.ts'
import { connect, context, openStore, openStreet } from './support.ts'

test.for(['', 'one'])(
  'a look at a backlog of 40,000 rows and lines touches no more than its limit, lane "%s" (P10)',
  async (consumer) => {
    const { url } = await postgresDatabase()
    const store = openStore({ connectionString: url })
    await store.schema.migrate()
    const street = await openStreet(url, store, { consumers: consumer === '' ? [] : ['one', 'two'] })
    const client = await connect(url)
    await client.query('analyze')
    const connections = new Connections({ connectionString: url }, context)
    const census = connections.open('census')
    try {
      await client.query(
        `insert into waybill.outbox (partition, id, channel, key, payload)
         select $1::int + g % 4, gen_random_uuid(), $2, 'key-' || g, 'x' from generate_series(1, 40000) g`,
        [street.first, street.channel],
      )
      await client.query(
        `insert into waybill.blocked (consumer, partition, seq, id, channel, key, attempts, retry_at, error_code, error,
           first_error_code, first_error, first_failed_at)
         select $1, partition, seq, id, channel, key, 1, now(), 'E', 'e', 'E', 'e', now() from waybill.outbox`,
        [consumer],
      )
      await client.query(
        `insert into waybill.dead (consumer, id, channel, key, payload, content_type, headers, created_at, attempts, reason,
           error_code, error)
         select $1, id, channel, key, payload, content_type, headers, created_at, 1, 'rejected', 'E', 'e' from waybill.outbox`,
        [consumer],
      )
      const [s, most] = ['"waybill"', 2000]
      const plans = {
        lanes: await (await prepare(census, 'lanes', lanesText(s)))([most]),
        lines: await (await prepare(census, 'lines', linesText(s)))([most]),
        dead: await (await prepare(census, 'dead', deadText(s)))([most]),
      }
      for (const [name, plan] of Object.entries(plans)) {
        // Two short tables of the registration may be read as a whole; none that grows.
        expect(
          fullPasses(plan).filter((table) => !['channels', 'subscriptions'].includes(table)),
          name,
        ).toEqual([])
        // 2,000 rows, with a few pages of the inbox's index for each consumer; all of them would be tens of thousands more.
        expect(blocks(plan), name).toBeGreaterThan(10)
        expect(blocks(plan), name).toBeLessThan(20_000)
      }
    } finally {
      await connections.closeAll()
    }
  },
)
