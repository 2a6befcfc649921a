import {
  metrics,
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  trace,
  type Link,
  type Meter,
} from '@opentelemetry/api'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import type { DiagnosticEvents } from '../kernel/diagnostics.ts'
import type { Monitor, MonitorDefinition, MonitoredChannel, MonitorSource } from '../kernel/monitoring.ts'
import type { LabelValues } from './bounded-labels.ts'
import { errorType } from './error-type.ts'
import { metricNames, metricOf, type MetricName } from './metrics-table.ts'
import { attributes, contextOf, instrumentation } from './otel-names.ts'
import { startRecording, type Recorder } from './recording.ts'
import { StoreFigures } from './store-figures.ts'

/** Links of one span, at most: what the SDKs keep by default. */
const mostLinks = 128

/**
 * Metrics and the relays' send spans over the OpenTelemetry API, as `monitor` of the configuration: the same metrics as `/metrics`
 * (docs/metrics.md), read when the SDK asks, and a span for each batch that a relay hands to a broker, with a link to the trace of each of
 * its messages, 128 at most (M4). Without an SDK it does nothing. Traces of `publish`, `send` and handlers come from {@link
 * otelTracing}.
 */
export function otelMonitor(): MonitorDefinition {
  return { listens: false, open: (source) => Promise.resolve(open(source)) }
}

function open(source: MonitorSource): Monitor {
  const meter = metrics.getMeter(instrumentation)
  const stopRecording = startRecording(recorderOf(meter), source)
  const stopFigures = observeStore(meter, new StoreFigures({ source, now: () => performance.now() }))
  const channels = new Map(source.channels.map((channel) => [channel.name, channel]))
  const onSent = (event: unknown): void => sendSpan(event as DiagnosticEvents['waybill.relay.sent'], channels)
  subscribe('waybill.relay.sent', onSent)
  return {
    async close() {
      stopRecording()
      stopFigures()
      unsubscribe('waybill.relay.sent', onSent)
    },
  }
}

function recorderOf(meter: Meter): Recorder {
  const instruments = new Map<MetricName, (value: number, labels: LabelValues) => void>()
  for (const name of metricNames) {
    const { kind, unit, doc: description, source } = metricOf(name)
    if (source === 'store') continue
    const options = { unit, description }
    if (kind === 'counter') {
      const counter = meter.createCounter(name, options)
      instruments.set(name, (value, labels) => counter.add(value, labels))
    } else if (kind === 'histogram') {
      const histogram = meter.createHistogram(name, options)
      instruments.set(name, (value, labels) => histogram.record(value, labels))
    } else {
      const gauge = meter.createGauge(name, options)
      instruments.set(name, (value, labels) => gauge.record(value, labels))
    }
  }
  return { record: (metric, value, labels) => instruments.get(metric)?.(value, labels) }
}

/** Asked by the SDK when it exports; a store that does not answer has one figure, and the others are not there. */
function observeStore(meter: Meter, figures: StoreFigures): () => void {
  const gauges = new Map(
    metricNames
      .filter((name) => metricOf(name).source === 'store')
      .map((name) => {
        const { unit, doc: description } = metricOf(name)
        return [name, meter.createObservableGauge(name, { unit, description })] as const
      }),
  )
  const observables = [...gauges.values()]
  const observe: Parameters<Meter['addBatchObservableCallback']>[0] = async (result) => {
    for (const { metric, value, labels } of await figures.read())
      result.observe(gauges.get(metric)!, value, labels)
  }
  meter.addBatchObservableCallback(observe, observables)
  return () => meter.removeBatchObservableCallback(observe, observables)
}

/** Made when the batch has ended, with the time it took: while it was under way nothing ran inside it that could be its child. */
function sendSpan(
  {
    lane,
    channel,
    confirmed,
    rejected,
    unknown,
    durationMs,
    code,
    traces,
  }: DiagnosticEvents['waybill.relay.sent'],
  channels: ReadonlyMap<string, MonitoredChannel>,
): void {
  if (lane.consumer !== '') return
  const { system, address } = channels.get(channel) ?? { system: lane.transport, address: channel }
  const links: Link[] = traces(mostLinks).flatMap((headers) => {
    const context = trace.getSpanContext(contextOf(headers))
    return context === undefined ? [] : [{ context }]
  })
  const endTime = Date.now()
  const span = trace.getTracer(instrumentation).startSpan(
    `send ${address}`,
    {
      kind: SpanKind.CLIENT,
      startTime: endTime - durationMs,
      links,
      attributes: {
        [attributes.system]: system,
        [attributes.destination]: address,
        [attributes.operationName]: 'send',
        [attributes.operationType]: 'send',
        [attributes.batchCount]: confirmed + rejected + unknown,
      },
    },
    ROOT_CONTEXT,
  )
  if (code !== null) {
    span.setAttribute(attributes.errorType, errorType(code))
    span.setStatus({ code: SpanStatusCode.ERROR, message: `${rejected} rejected, ${unknown} unknown` })
  }
  span.end(endTime)
}
