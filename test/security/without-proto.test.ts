import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, it } from 'vitest'
import { postgresDatabase } from '../setup/servers.ts'

const child = fileURLToPath(new URL('children/round-trip.ts', import.meta.url))

it('publishes, relays, handles and shows its status in a process that has no __proto__ (S11)', async () => {
  const { url } = await postgresDatabase()
  const { stdout } = await promisify(execFile)(process.execPath, [child, url], {
    env: { ...process.env, NODE_OPTIONS: '--disable-proto=throw' },
  })
  expect(JSON.parse(stdout)).toEqual({ handled: [1, 2], channels: ['orders.placed'] })
})
