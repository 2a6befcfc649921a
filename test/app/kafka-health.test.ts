import { expect, it } from 'vitest'
import { createWaybill, defineChannel, defineConfig } from '../../src/index.ts'
import { kafkaTransport } from '../../src/kafka.ts'
import { silentLogger } from '../../src/kernel/logger.ts'
import { httpMonitor } from '../../src/monitor.ts'
import type { Health } from '../../src/monitor/health.ts'
import { postgresStore } from '../../src/postgres.ts'
import { freePort, until } from '../../src/testing.ts'
import { describeWithKafka, postgresDatabase } from '../setup/servers.ts'
import { proxiedKafka, quickGroups } from '../transports/kafka/scene.ts'

const orders = defineChannel<{ n: number }>({ name: 'orders.placed' })

describeWithKafka('health over Kafka', () => {
  const kafka = proxiedKafka(quickGroups)

  it('names broker and consumer while the network answers nothing, though neither relay nor consumer has anything to do (M2)', async () => {
    const { url } = await postgresDatabase()
    const httpPort = await freePort()
    const unwell = async (): Promise<string[]> => {
      const response = await fetch(`http://127.0.0.1:${httpPort}/healthz`)
      const { components, isHealthy } = (await response.json()) as Health
      expect(response.status).toBe(isHealthy ? 200 : 503)
      expect(components.map(({ name }) => name).sort()).toEqual([
        'broker kafka',
        'consumer billing',
        'database',
        'relay kafka',
      ])
      return components.filter((each) => !each.isHealthy).map(({ name }) => name)
    }
    await using waybill = createWaybill(
      defineConfig({
        store: postgresStore({ connectionString: url }),
        transports: {
          kafka: kafkaTransport({ brokers: kafka.brokers, sessionTimeoutMs: 600, requestTimeoutMs: 1000 }),
        },
        channels: [orders],
        leaseMs: 2000,
        monitor: httpMonitor(),
        httpPort,
        logger: silentLogger,
      }),
      {},
    )
    await waybill.migrate()
    let handled = 0
    waybill.consume(orders, { consumer: 'billing' }, () => {
      handled += 1
    })
    await waybill.start()
    await waybill.transaction((tx) => waybill.publish(tx, orders, { n: 1 }))
    await until('the message is through', () => handled === 1)
    await until('all are well', async () => (await unwell()).length === 0)
    kafka.proxy.blackHole()
    await until('both are named, and nobody else', async () => {
      const names = await unwell()
      return (
        names.includes('broker kafka') && names.includes('consumer billing') && !names.includes('database')
      )
    })
    await kafka.proxy.heal()
    await until('all are well again', async () => (await unwell()).length === 0)
  })
})
