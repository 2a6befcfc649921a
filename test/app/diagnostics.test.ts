import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { expect, it, onTestFinished } from 'vitest'
import { createWaybill, defineChannel, defineConfig } from '../../src/index.ts'
import type { DiagnosticEvents, DiagnosticName } from '../../src/kernel/diagnostics.ts'
import { silentLogger } from '../../src/kernel/logger.ts'
import { localTransport } from '../../src/local.ts'
import type { Fate, TransportDefinition } from '../../src/ports/transport.ts'
import { postgresStore } from '../../src/postgres.ts'
import { until } from '../../src/testing.ts'
import { noOpTransport } from '../../bench/no-op-transport.ts'
import { postgresDatabase } from '../setup/servers.ts'

function heard<Name extends DiagnosticName>(name: Name): DiagnosticEvents[Name][] {
  const events: DiagnosticEvents[Name][] = []
  const listen = (event: unknown): void => {
    events.push(event as DiagnosticEvents[Name])
  }
  subscribe(name, listen)
  onTestFinished(() => void unsubscribe(name, listen))
  return events
}

/** A broker that answers every message with this. */
function broker(fate: Fate): TransportDefinition {
  const { open, ...definition } = noOpTransport()
  return {
    ...definition,
    open: (context) => ({
      ...open(context),
      openPublisher: async () => ({
        publish: async (batch) => batch.map(() => fate),
        close: async () => {},
      }),
    }),
  }
}

const refusal = {
  outcome: 'rejected',
  scope: 'message',
  retryable: false,
  code: 'TOO_BIG',
  reason: 'r',
} as const

it('send() tells how it ended, once for each call', async () => {
  const ended = heard('waybill.send.ended')
  const [well, bad, silent] = [
    defineChannel<object>({ name: 'well' }),
    defineChannel<object>({ name: 'bad' }),
    defineChannel<object>({ name: 'silent' }),
  ]
  const once = defineChannel<object>({ name: 'once', guarantee: 'at-most-once' })
  const { url } = await postgresDatabase()
  await using waybill = createWaybill(
    defineConfig({
      store: postgresStore({ connectionString: url }),
      transports: {
        well: broker({ outcome: 'confirmed' }),
        bad: broker(refusal),
        silent: broker({ outcome: 'unknown', code: 'SILENT', reason: 'r' }),
        local: localTransport(),
      },
      channels: [well.via('well'), bad.via('bad'), silent.via('silent'), once.via('local')],
      retryInitialMs: 1,
      retryMaxMs: 1,
      logger: silentLogger,
    }),
    {},
  )
  await waybill.migrate()
  await waybill.send(well, {})
  await waybill.send(once, {})
  await expect(waybill.send(bad, {})).rejects.toMatchObject({ code: 'WB_PUBLISH_REJECTED' })
  await expect(waybill.send(silent, {}, { deadlineMs: 50 })).rejects.toMatchObject({
    code: 'WB_PUBLISH_OUTCOME_UNKNOWN',
  })
  expect(ended).toEqual([
    { channel: 'well', outcome: 'confirmed', count: 1, code: null },
    { channel: 'once', outcome: 'dispatched', count: 1, code: null },
    { channel: 'bad', outcome: 'rejected', count: 1, code: 'WB_PUBLISH_REJECTED' },
    { channel: 'silent', outcome: 'unknown', count: 1, code: 'WB_PUBLISH_OUTCOME_UNKNOWN' },
  ])
})

it('a relay and a consumer tell what they did, and when nobody listens they go on as well', async () => {
  const published = heard('waybill.outbox.published')
  const dead = heard('waybill.relay.dead')
  const failed = heard('waybill.consumer.failed')
  const handled = heard('waybill.consumer.handled')
  const lost = heard('waybill.consumer.lost')
  const leases = heard('waybill.relay.leases')
  const orders = defineChannel<{ n: number }>({ name: 'orders' })
  const views = defineChannel<{ n: number }>({ name: 'views', guarantee: 'at-most-once' })
  const far = defineChannel<{ n: number }>({ name: 'far' })
  const { url } = await postgresDatabase()
  {
    await using waybill = createWaybill(
      defineConfig({
        store: postgresStore({ connectionString: url }),
        transports: { local: localTransport(), bad: broker(refusal) },
        channels: [orders.via('local'), views.via('local'), far.via('bad')],
        maxAttempts: 2,
        retryInitialMs: 1,
        retryMaxMs: 1,
        logger: silentLogger,
      }),
      {},
    )
    await waybill.migrate()
    waybill.consume(orders, { consumer: 'shipping' }, ({ payload }) => {
      if (payload.n === 2) throw Object.assign(new Error('no'), { code: 'E_NO' })
    })
    waybill.consume(views, { consumer: 'counting' }, () => {
      throw new Error('no')
    })
    await waybill.start()
    await waybill.transaction(async (tx) => {
      for (const n of [1, 2]) await waybill.publish(tx, orders, { n })
      await waybill.publish(tx, views, { n: 3 })
      await waybill.publish(tx, far, { n: 4 })
    })
    await until('all have their fate', () => dead.length === 2 && handled.length > 0 && lost.length === 1)
  }
  expect(published.map(({ channel }) => channel)).toEqual(['orders', 'orders', 'views', 'far'])
  expect(handled).toEqual([{ consumer: 'shipping', channel: 'orders', count: 1 }])
  expect(failed.every(({ channel, code }) => channel === 'orders' && code === 'E_NO')).toBe(true)
  expect(failed.length).toBeGreaterThan(0)
  expect(lost).toEqual([{ consumer: 'counting', channel: 'views', cause: 'handler-failed' }])
  expect(dead).toEqual(
    expect.arrayContaining([
      expect.objectContaining({ channel: 'far', count: 1, reason: 'rejected', code: 'TOO_BIG' }),
      expect.objectContaining({ channel: 'orders', count: 1, reason: 'attempts-exhausted' }),
    ]),
  )
  // Three lanes took what there was, and gave all of it back when they stopped.
  const sum = (change: string): number =>
    leases.filter((event) => event.change === change).reduce((total, { count }) => total + count, 0)
  expect(sum('gained')).toBe(48)
  expect(sum('released')).toBe(48)
  expect(sum('lost')).toBe(0)
})
