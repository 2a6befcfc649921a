import { context, metrics, propagation, SpanStatusCode, trace } from '@opentelemetry/api'
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks'
import { CompositePropagator, W3CBaggagePropagator, W3CTraceContextPropagator } from '@opentelemetry/core'
import {
  AggregationTemporality,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
} from '@opentelemetry/sdk-metrics'
import {
  BasicTracerProvider,
  InMemorySpanExporter,
  SimpleSpanProcessor,
  type ReadableSpan,
} from '@opentelemetry/sdk-trace-base'
import { channel as diagnosticsChannel } from 'node:diagnostics_channel'
import { afterAll, afterEach, beforeAll, expect, it, onTestFinished } from 'vitest'
import {
  createWaybill,
  defineChannel,
  defineConfig,
  many,
  type Waybill,
  type WaybillConfig,
} from '../../src/index.ts'
import { silentLogger } from '../../src/kernel/logger.ts'
import { kafkaTransport } from '../../src/kafka.ts'
import { localTransport } from '../../src/local.ts'
import { otelMonitor, otelTracing } from '../../src/otel.ts'
import { postgresStore, type PgClient } from '../../src/postgres.ts'
import { until } from '../../src/testing.ts'
import { noOpTransport } from '../../bench/no-op-transport.ts'
import { describeWithKafka, kafkaBrokers, postgresDatabase } from '../setup/servers.ts'
import { newTopic } from '../transports/kafka/scene.ts'

const spans = new InMemorySpanExporter()
const figures = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE)
const reader = new PeriodicExportingMetricReader({ exporter: figures, exportIntervalMillis: 3_600_000 })
const meters = new MeterProvider({ readers: [reader] })

beforeAll(() => {
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable())
  propagation.setGlobalPropagator(
    new CompositePropagator({ propagators: [new W3CTraceContextPropagator(), new W3CBaggagePropagator()] }),
  )
  trace.setGlobalTracerProvider(new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(spans)] }))
  metrics.setGlobalMeterProvider(meters)
})
afterEach(() => {
  spans.reset()
  figures.reset()
})
afterAll(async () => {
  context.disable()
  propagation.disable()
  trace.disable()
  metrics.disable()
  await meters.shutdown()
})

const orders = defineChannel<{ n: number; note?: string }>({ name: 'orders.placed' })
const bills = defineChannel<{ n: number }>({ name: 'bills.made' })

async function traced(
  register: (waybill: Waybill<PgClient>) => void,
  more: Partial<WaybillConfig> = {},
): Promise<Waybill<PgClient>> {
  const { url } = await postgresDatabase()
  const waybill = createWaybill<PgClient>(
    {
      ...defineConfig({
        store: postgresStore({ connectionString: url }),
        transports: { local: localTransport() },
        channels: [orders, bills],
        leaseMs: 1000,
        retryInitialMs: 10,
        logger: silentLogger,
      }),
      ...more,
    } as WaybillConfig<PgClient>,
    {},
  )
  onTestFinished(() => waybill.stop())
  waybill.use(otelTracing())
  await waybill.migrate()
  register(waybill)
  await waybill.start()
  return waybill
}

function inSpan<T>(name: string, work: () => Promise<T>): Promise<T> {
  return trace.getTracer('test').startActiveSpan(name, async (span) => {
    try {
      return await work()
    } finally {
      span.end()
    }
  })
}

async function finished(name: string, count = 1): Promise<ReadableSpan[]> {
  const found = (): ReadableSpan[] => spans.getFinishedSpans().filter((span) => span.name === name)
  await until(`${count} spans ${name}`, () => found().length >= count)
  expect(found()).toHaveLength(count)
  return found()
}

const linksOf = (span: ReadableSpan): string[] => span.links.map((link) => link.context.spanId)
const idOf = (span: ReadableSpan): string => span.spanContext().spanId

it('a published message carries its span’s context to the handler, whose span links to it and is no child (M4, W9)', async () => {
  let active: string | undefined
  let traceparent: string | undefined
  let baggage: string | undefined
  const waybill = await traced((own) =>
    own.consume(orders, { consumer: 'linked' }, (message) => {
      active = trace.getActiveSpan()?.spanContext().spanId
      traceparent = message.headers['traceparent']
      baggage = propagation.getActiveBaggage()?.getEntry('tenant')?.value
    }),
  )
  const withTenant = propagation.setBaggage(
    context.active(),
    propagation.createBaggage({ tenant: { value: 'blue' } }),
  )
  await context.with(withTenant, () =>
    inSpan('request', () =>
      waybill.transaction((tx) => waybill.publish(tx, orders, { n: 1, note: 'canary' })),
    ),
  )
  const [request] = await finished('request')
  const [publish] = await finished('publish orders.placed')
  const [process] = await finished('process orders.placed')
  expect(publish!.parentSpanContext?.spanId).toBe(idOf(request!))
  expect(traceparent).toContain(idOf(publish!))
  expect(linksOf(process!)).toEqual([idOf(publish!)])
  expect(process!.parentSpanContext).toBeUndefined()
  expect(active).toBe(idOf(process!))
  expect(baggage).toBe('blue')
  expect(process!.attributes).toMatchObject({
    'messaging.destination.name': 'orders.placed',
    'messaging.operation.type': 'process',
    'messaging.message.id': publish!.attributes['messaging.message.id'],
    'waybill.attempt': 1,
  })
  const told = JSON.stringify(
    spans.getFinishedSpans().map((span) => [span.name, span.attributes, span.events, span.status]),
  )
  expect(told).not.toContain('canary')
})

it('what was sent alone and at once is handled in a child span; what its handler publishes is linked again (M4)', async () => {
  const waybill = await traced((own) => {
    own.consume(orders, { consumer: 'child' }, async (_message, { tx }) => {
      await own.publish(tx, bills, { n: 2 })
    })
    own.consume(bills, { consumer: 'child' }, () => {})
  })
  await waybill.send(orders, { n: 1 })
  const [send] = await finished('send orders.placed')
  const [process] = await finished('process orders.placed')
  const [publish] = await finished('publish bills.made')
  const [second] = await finished('process bills.made')
  expect(process!.parentSpanContext?.spanId).toBe(idOf(send!))
  expect(process!.links).toEqual([])
  expect(publish!.parentSpanContext?.spanId).toBe(idOf(process!))
  expect(second!.parentSpanContext).toBeUndefined()
  expect(linksOf(second!)).toEqual([idOf(publish!)])
})

it('many that are sent or handled together are linked, each to its own', async () => {
  const sizes: number[] = []
  const waybill = await traced((own) =>
    own.consume(orders, { consumer: 'batch', batch: true }, (messages) => {
      sizes.push(messages.length)
    }),
  )
  await waybill.transaction(async (tx) => {
    await waybill.publish(tx, orders, { n: 1 })
    await waybill.publish(tx, orders, many([{ n: 2 }, { n: 3 }]))
  })
  await waybill.send(orders, many([{ n: 4 }, { n: 5 }]))
  await until('all are handled', () => sizes.reduce((sum, size) => sum + size, 0) === 5)
  const publishes = await finished('publish orders.placed', 2)
  const [send] = await finished('send orders.placed')
  const processes = await finished('process orders.placed', sizes.length)
  const sources = [idOf(publishes[0]!), idOf(publishes[1]!), idOf(publishes[1]!), idOf(send!), idOf(send!)]
  expect(processes.flatMap(linksOf).sort()).toEqual(sources.sort())
  expect(processes.every((span) => span.parentSpanContext === undefined)).toBe(true)
  expect(publishes[1]!.attributes).toMatchObject({ 'messaging.batch.message_count': 2 })
})

it('a handler that fails ends its span with the code of its error, and no word of it (S16)', async () => {
  let runs = 0
  const waybill = await traced((own) =>
    own.consume(orders, { consumer: 'failing' }, () => {
      runs += 1
      if (runs === 1) throw Object.assign(new Error('canary in the message'), { code: 'E_CARRIER' })
    }),
  )
  await waybill.transaction((tx) => waybill.publish(tx, orders, { n: 1 }))
  const processes = await finished('process orders.placed', 2)
  expect(processes[0]!.status).toEqual({ code: SpanStatusCode.ERROR })
  expect(processes[0]!.attributes).toMatchObject({ 'error.type': 'E_CARRIER' })
  expect(processes[0]!.events).toEqual([])
  expect(processes[1]!.status.code).toBe(SpanStatusCode.UNSET)
})

it('what a relay sends has a span that links to each message’s own', async () => {
  const waybill = await traced(() => {}, {
    transports: { broker: noOpTransport() },
    monitor: otelMonitor(),
  })
  const publishAll = (): Promise<void> =>
    waybill.transaction(async (tx) => {
      for (const n of [1, 2, 3]) await waybill.publish(tx, orders, { n })
    })
  await publishAll()
  const publishes = await finished('publish orders.placed', 3)
  const sends = (): ReadableSpan[] =>
    spans.getFinishedSpans().filter(({ name }) => name === 'send orders.placed')
  await until('all are sent', () => sends().flatMap(linksOf).length === 3)
  expect(sends().flatMap(linksOf).sort()).toEqual(publishes.map(idOf).sort())
  expect(sends().every((span) => span.parentSpanContext === undefined)).toBe(true)
  expect(sends()[0]!.attributes).toMatchObject({
    'messaging.system': 'none',
    'messaging.destination.name': 'orders.placed',
    'messaging.operation.type': 'send',
  })
})

it('a relay’s batch is one span with a bounded number of links, and the metrics are those of /metrics', async () => {
  const waybill = await traced((own) => own.consume(orders, { consumer: 'metered' }, () => {}), {
    monitor: otelMonitor(),
  })
  const traceparent = (i: number): string => `00-${'a'.repeat(32)}-${String(i).padStart(16, '0')}-01`
  diagnosticsChannel('waybill.relay.sent').publish({
    lane: { transport: 'kafka', consumer: '' },
    channel: 'orders.placed',
    confirmed: 999,
    rejected: 1,
    unknown: 0,
    durationMs: 50,
    code: 'MESSAGE_TOO_LARGE',
    traces: (most: number) =>
      Array.from({ length: 1000 }, (_, i) => ({ traceparent: traceparent(i + 1) })).slice(0, most),
  })
  const [send] = await finished('send orders.placed')
  expect(send!.links).toHaveLength(128)
  expect(send!.parentSpanContext).toBeUndefined()
  expect(send!.attributes).toMatchObject({
    'messaging.batch.message_count': 1000,
    'error.type': 'MESSAGE_TOO_LARGE',
  })
  expect(Math.round(send!.duration[1] / 1e6)).toBe(50)
  await waybill.transaction((tx) => waybill.publish(tx, orders, { n: 1 }))
  await finished('process orders.placed')
  await until('metrics of process and store', async () => {
    await reader.forceFlush()
    const names = figures
      .getMetrics()
      .flatMap(({ scopeMetrics }) =>
        scopeMetrics.flatMap((scope) => scope.metrics.map((metric) => metric.descriptor.name)),
      )
    return [
      'messaging.client.sent.messages',
      'messaging.client.operation.duration',
      'messaging.client.consumed.messages',
      'waybill.published.messages',
      'waybill.outbox.lag',
      'waybill.store.up',
    ].every((name) => names.includes(name))
  })
})

describeWithKafka('over Kafka', () => {
  it('a published message carries its span’s context and baggage to the handler as well (M4, W9)', async () => {
    const shipped = defineChannel<{ n: number }>({ name: 'orders.shipped', address: newTopic() })
    let traceparent: string | undefined
    let baggage: string | undefined
    const waybill = await traced(
      (own) =>
        own.consume(shipped, { consumer: 'linked' }, (message) => {
          traceparent = message.headers['traceparent']
          baggage = propagation.getActiveBaggage()?.getEntry('tenant')?.value
        }),
      { transports: { kafka: kafkaTransport({ brokers: await kafkaBrokers() }) }, channels: [shipped] },
    )
    const tenant = propagation.createBaggage({ tenant: { value: 'blue' } })
    await context.with(propagation.setBaggage(context.active(), tenant), () =>
      waybill.transaction((tx) => waybill.publish(tx, shipped, { n: 1 })),
    )
    const [publish] = await finished('publish orders.shipped')
    const [process] = await finished('process orders.shipped')
    expect(traceparent).toContain(idOf(publish!))
    expect(linksOf(process!)).toEqual([idOf(publish!)])
    expect(baggage).toBe('blue')
  })
})
