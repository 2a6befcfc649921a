import { expect, it } from 'vitest'
import { createWaybill, defineConfig } from '../../src/index.ts'
import { localTransport } from '../../src/local.ts'
import { postgresStore } from '../../src/postgres.ts'
import { lendSession } from '../../src/prove/service/lent-session.ts'
import { postgresDatabase } from '../setup/servers.ts'

it('a session that is lent for a while is not ended for being idle, as a handler’s transaction is', async () => {
  const { url } = await postgresDatabase()
  const config = defineConfig({
    store: postgresStore({ connectionString: url }),
    transports: { local: localTransport() },
    channels: [],
    logLevel: 'silent',
  })
  await using waybill = createWaybill(config, {})
  const session = await lendSession(waybill)
  const { rows } = await session.query('show idle_in_transaction_session_timeout')
  await session.end()
  expect(rows).toEqual([{ idle_in_transaction_session_timeout: '0' }])
})
