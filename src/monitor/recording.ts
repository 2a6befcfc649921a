import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import type { DiagnosticEvents, DiagnosticName } from '../kernel/diagnostics.ts'
import { describeError } from '../kernel/errors.ts'
import type { MonitoredChannel, MonitorSource } from '../kernel/monitoring.ts'
import { BoundedLabels, type LabelValues } from './bounded-labels.ts'
import { errorType } from './error-type.ts'
import type { MetricName } from './metrics-table.ts'

/** Where figures go: counters add up, gauges keep the last value, histograms take each. */
export interface Recorder {
  record(metric: MetricName, value: number, labels: LabelValues): void
}

/** Turns what the diagnostics channels tell into metrics of this process, until the function returned is called. */
export function startRecording(recorder: Recorder, source: MonitorSource): () => void {
  const bounded = new BoundedLabels(source)
  const known = new Map(source.channels.map((channel) => [channel.name, channel]))
  const record: Recorder['record'] = (metric, value, labels) => {
    recorder.record(metric, value, bounded.bound(labels))
  }
  let isTold = false
  const stops = Object.entries(listeners(record, known)).map(([name, listen]) => {
    const guarded = (event: unknown): void => {
      try {
        listen(event as never)
      } catch (error) {
        // A listener that throws would end the process; what cannot be counted is told once.
        if (!isTold) source.logger.warn({ error: describeError(error) }, 'a metric could not be recorded')
        isTold = true
      }
    }
    subscribe(name, guarded)
    return () => unsubscribe(name, guarded)
  })
  return () => {
    for (const stop of stops) stop()
  }
}

type Listeners = { readonly [Name in DiagnosticName]: (event: DiagnosticEvents[Name]) => void }

function listeners(record: Recorder['record'], known: ReadonlyMap<string, MonitoredChannel>): Listeners {
  const wire = (channel: string, operation: 'send' | 'process', code: string | null = null): LabelValues => {
    const { system, address } = known.get(channel) ?? { system: 'other', address: 'other' }
    return {
      'messaging.system': system,
      'messaging.operation.name': operation,
      'messaging.destination.name': address,
      ...failed(code),
    }
  }
  const sent = (channel: string, count: number, code: string | null): void => {
    if (count > 0) record('messaging.client.sent.messages', count, wire(channel, 'send', code))
  }
  return {
    'waybill.outbox.published': ({ channel, count }) =>
      record('waybill.published.messages', count, { channel }),
    'waybill.send.ended': ({ channel, outcome, count, code }) => {
      record('waybill.send.messages', count, { channel, outcome })
      if (known.get(channel)?.system !== 'local') sent(channel, count, code)
    },
    'waybill.relay.read': ({ lane, count, durationMs, code }) => {
      record('waybill.relay.read.duration', durationMs / 1000, { ...lane, ...failed(code) })
      if (count > 0) record('waybill.relay.read.messages', count, { ...lane })
    },
    'waybill.relay.sent': ({ lane, channel, confirmed, rejected, unknown, durationMs, code }) => {
      // Running handlers is not sending: their consumer tells of it.
      if (lane.consumer !== '') return
      sent(channel, confirmed, null)
      sent(channel, rejected + unknown, code)
      record('messaging.client.operation.duration', durationMs / 1000, wire(channel, 'send', code))
    },
    'waybill.relay.retried': ({ lane: { consumer }, channel, count, code }) =>
      record('waybill.relay.retries', count, { channel, consumer, ...failed(code) }),
    'waybill.relay.blocked': ({ lane: { consumer }, channel, count, code }) =>
      record('waybill.relay.blocked', count, { channel, consumer, ...failed(code) }),
    'waybill.relay.dead': ({ lane: { consumer }, channel, count, reason }) =>
      record('waybill.relay.dead_letters', count, { channel, consumer, reason }),
    'waybill.relay.lost': ({ lane: { consumer }, channel, count, cause }) =>
      // A local consumer tells of its own, but not of what has expired before it got to it.
      consumer === '' || cause.startsWith('expired')
        ? record('waybill.lost.messages', count, { channel, consumer, cause })
        : undefined,
    'waybill.relay.held': ({ lane: { consumer }, channel, isHeld }) =>
      record('waybill.relay.held', isHeld ? 1 : 0, { channel, consumer }),
    'waybill.relay.leases': ({ lane, change, count, held }) => {
      record('waybill.relay.partitions', held, { ...lane })
      if (change === 'lost') record('waybill.relay.lost_leases', count, { ...lane })
    },
    'waybill.consumer.handled': ({ consumer, channel, count }) =>
      record('messaging.client.consumed.messages', count, {
        ...wire(channel, 'process'),
        'messaging.consumer.group.name': consumer,
      }),
    'waybill.consumer.duplicate': ({ consumer, channel, count }) =>
      record('waybill.consumer.duplicates', count, { channel, consumer }),
    'waybill.consumer.failed': ({ consumer, channel, code }) =>
      record('waybill.consumer.failures', 1, { channel, consumer, ...failed(code) }),
    'waybill.consumer.dead': ({ consumer, channel, code }) =>
      record('waybill.consumer.dead_letters', 1, { channel, consumer, ...failed(code) }),
    'waybill.consumer.lost': ({ consumer, channel, cause }) =>
      record('waybill.lost.messages', 1, { channel, consumer, cause }),
    'waybill.consumer.unavailable': ({ consumer, code }) =>
      record('waybill.consumer.unavailable', 1, { consumer, ...failed(code) }),
    'waybill.cleanup.purged': ({ count }) => record('waybill.cleanup.rows', count, {}),
  }
}

function failed(code: string | null): LabelValues {
  return code === null ? {} : { 'error.type': errorType(code) }
}
