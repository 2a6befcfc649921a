import { beforeAll, describe, expect, it } from 'vitest'
import { createWaybill } from '../../src/index.ts'
import { postgresStore } from '../../src/postgres.ts'
import { relayConformance } from '../../src/testing/conformance/relay.ts'
import type { RelayConformanceOptions } from '../../src/testing/conformance/relay-scene.ts'
import type { Publisher } from '../../src/ports/transport.ts'
import { postgresDatabase } from '../setup/servers.ts'

describe('the relay over PostgreSQL', () => {
  let connectionString = 'postgres://later'

  beforeAll(async () => {
    connectionString = (await postgresDatabase()).url
  })

  const store: RelayConformanceOptions['store'] = {
    ...postgresStore({ connectionString }),
    open: (context) => postgresStore({ connectionString }).open(context),
  }
  it.each(relayConformance({ store }))('$name', ({ run }) => run())

  const through =
    (change: (publisher: Publisher) => Publisher['publish']): RelayConformanceOptions['startRelay'] =>
    async (config) => {
      const waybill = createWaybill({ ...config, transports: changed(config.transports, change) })
      await waybill.start()
      return waybill
    }

  it.each<[string, RelayConformanceOptions['startRelay'], string]>([
    ['never sends', async () => ({ stop: async () => {} }), 'every committed message'],
    [
      'sends everything twice',
      through(({ publish }) => async (batch, timeoutMs) => {
        await publish(batch, timeoutMs)
        return await publish(batch, timeoutMs)
      }),
      'several relays',
    ],
    [
      'turns batches round',
      through(
        ({ publish }) =>
          async (batch, timeoutMs) =>
            (await publish(batch.toReversed(), timeoutMs)).toReversed(),
      ),
      'every committed message',
    ],
    [
      'takes what is unknown for confirmed',
      through(
        ({ publish }) =>
          async (batch, timeoutMs) =>
            (await publish(batch, timeoutMs)).map((fate) =>
              fate.outcome === 'unknown' ? { outcome: 'confirmed' } : fate,
            ),
      ),
      'what has an unknown fate',
    ],
    [
      'takes a batch for confirmed where some of it is',
      through(({ publish }) => async (batch, timeoutMs) => {
        const fates = await publish(batch, timeoutMs)
        return fates.some(({ outcome }) => outcome === 'confirmed')
          ? batch.map(() => ({ outcome: 'confirmed' }))
          : fates
      }),
      'what has an unknown fate',
    ],
    [
      'never gives up',
      async (config) => {
        const channels = config.channels.map((channel) => ({ ...channel, maxAttempts: 1000 }))
        const waybill = createWaybill({ ...config, channels })
        await waybill.start()
        return waybill
      },
      'what is refused again and again',
    ],
  ])('is found out where it %s', async (_what, startRelay, begin) => {
    const cases = relayConformance({ store, startRelay: startRelay!, timeoutMs: 1000 })
    const failing = cases.find(({ name }) => name.startsWith(begin))!
    await expect(failing.run()).rejects.toThrow()
  })
})

type Transports = Parameters<typeof createWaybill>[0]['transports']

function changed(transports: Transports, change: (publisher: Publisher) => Publisher['publish']): Transports {
  const entries = Object.entries(transports).map(([name, definition]) => {
    const open: typeof definition.open = (context) => {
      const transport = definition.open(context)
      return {
        ...transport,
        async openPublisher() {
          const publisher = await transport.openPublisher!()
          return { ...publisher, publish: change(publisher) }
        },
      }
    }
    return [name, { ...definition, open }] as const
  })
  return Object.fromEntries(entries)
}
