import { expect, it, vi } from 'vitest'
import { createWaybill } from '../../index.ts'
import { localTransport } from '../../local.ts'
import { postgresStore } from './store.ts'

vi.mock('pg', () => {
  throw Object.assign(new Error('Cannot find package'), { code: 'ERR_MODULE_NOT_FOUND' })
})

it('says what to install where the driver is missing, once: an instance that could open nothing can be stopped', async () => {
  const store = postgresStore({ connectionString: 'postgres://127.0.0.1:1/none' })
  const waybill = createWaybill({ store, transports: { local: localTransport() }, channels: [] })
  const missing = expect.objectContaining({
    code: 'WB_PEER_MISSING',
    message: expect.stringContaining('npm install pg'),
  })
  await expect(waybill.transaction(async () => {})).rejects.toThrow(missing)
  // With `await using` what this throws would hide the error before it.
  await waybill.stop()
})
