import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, expect, it } from 'vitest'
import { guarantees } from '../../src/guarantees/guarantees.ts'
import { Service } from '../../src/prove/service/service.ts'

const source = fileURLToPath(new URL('../../src', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'waybill-grounds-'))
const config = join(folder, 'waybill.config.ts')

/** Nothing connects to any of this. */
writeFileSync(
  config,
  `
  import { defineChannel, defineConfig } from '${source}/index.ts'
  import { kafkaTransport } from '${source}/kafka.ts'
  import { localTransport } from '${source}/local.ts'
  import { postgresStore } from '${source}/postgres.ts'
  const kafka = (transactionalIdPrefix) => kafkaTransport({ brokers: ['nowhere:1'], transactionalIdPrefix })
  const consumers = { billing: 'inbox', archive: 'inbox' }
  export default defineConfig({
    store: postgresStore({ connectionString: 'postgres://nowhere/shop' }),
    transports: { local: localTransport(), one: kafka('a'), other: kafka('b') },
    channels: [
      defineChannel({ name: 'here' }).via('local'),
      defineChannel({ name: 'placed', address: 'orders', guarantee: 'exactly-once', consumers }).via('one'),
      defineChannel({ name: 'paid', address: 'orders', guarantee: 'exactly-once', consumers: { billing: 'inbox' } }).via('one'),
      defineChannel({ name: 'positions' }).via('one'),
      defineChannel({ name: 'viewed', address: 'orders', guarantee: 'at-most-once' }).via('other'),
    ],
  })`,
)

afterAll(() => {
  rmSync(folder, { recursive: true, force: true })
})

async function choose(channel?: string): Promise<Service> {
  const wishes = { config, flags: {}, handlers: null, messages: null, guarantees, consumer: undefined }
  return await Service.choose({ ...wishes, channel })
}

it('a run has names of its own at every broker, and apart from each other where two transports go to one', async () => {
  const service = await choose()
  const [one, other, ...rest] = service.grounds('run')
  expect(rest).toEqual([])
  expect(one).toMatchObject({
    addresses: ['run-1.orders', 'run-1.positions'],
    further: [],
    consumers: ['run.billing', 'run.archive', 'run.prove'],
  })
  expect(other).toMatchObject({ addresses: ['run-2.orders'], further: [], consumers: ['run.prove'] })
  const unmarked = service.judged('run').filter(({ isUnmarked }) => isUnmarked)
  expect(unmarked.map(({ name }) => name)).toEqual(['viewed/prove'])
})

it('what is not judged has an address all the same, and a relay, because handlers may publish there', async () => {
  const service = await choose('here')
  expect(service.isBrokered).toBe(true)
  expect(service.grounds('run')).toMatchObject([
    { addresses: [], further: ['run-1.orders', 'run-1.positions'], consumers: [] },
    { addresses: [], further: ['run-2.orders'], consumers: [] },
  ])
})
