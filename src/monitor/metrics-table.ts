/** What a label of a metric says; in Prometheus with `_` for each dot. */
export const metricLabels = {
  'messaging.system': 'kind of the transport: `kafka`, `local`',
  'messaging.operation.name': '`send` or `process`',
  'messaging.destination.name': 'where the transport sends it: a Kafka topic',
  'messaging.consumer.group.name': 'the consumer',
  'error.type': 'code of the error; not there where all went well',
  channel: 'the channel; `other` where the configuration does not have it',
  consumer: 'the consumer; empty for a relay to a broker',
  transport: 'the transport',
  outcome: '`dispatched`, `confirmed`, `dropped`, `rejected` or `unknown`',
  reason: 'why it was given up',
  cause: 'how it was lost',
} as const

export type MetricLabel = keyof typeof metricLabels

/** A line of the table, seen without its name. */
export interface Metric {
  readonly kind: 'counter' | 'gauge' | 'histogram'
  /** UCUM, as OpenTelemetry writes it. */
  readonly unit: string
  /**
   * `process`: of what this process did since it was started, as the diagnostics channels tell it · `store`: of what is in the
   * store, the same from every process; read with a census, at most once in five seconds and for a tenth of the time.
   */
  readonly source: 'process' | 'store'
  readonly labels: readonly MetricLabel[]
  readonly doc: string
}

/**
 * Every metric there is, once: this table gives names, units, help texts and docs/metrics.md. Names follow the OpenTelemetry
 * conventions for messaging where those have one.
 */
export const metricsTable = {
  'messaging.client.sent.messages': {
    kind: 'counter',
    unit: '{message}',
    source: 'process',
    labels: ['messaging.system', 'messaging.operation.name', 'messaging.destination.name', 'error.type'],
    doc: 'Messages handed to a broker, by relays and by `send()`; with `error.type` those that were refused or not answered.',
  },
  'messaging.client.operation.duration': {
    kind: 'histogram',
    unit: 's',
    source: 'process',
    labels: ['messaging.system', 'messaging.operation.name', 'messaging.destination.name', 'error.type'],
    doc: 'How long a relay’s batch took, from handing it to the broker to its answer.',
  },
  'messaging.client.consumed.messages': {
    kind: 'counter',
    unit: '{message}',
    source: 'process',
    labels: [
      'messaging.system',
      'messaging.operation.name',
      'messaging.destination.name',
      'messaging.consumer.group.name',
    ],
    doc: 'Messages handled in a committed transaction.',
  },
  'waybill.published.messages': {
    kind: 'counter',
    unit: '{message}',
    source: 'process',
    labels: ['channel'],
    doc: 'Messages written into the outbox; their transaction may have rolled back later.',
  },
  'waybill.send.messages': {
    kind: 'counter',
    unit: '{message}',
    source: 'process',
    labels: ['channel', 'outcome'],
    doc: 'Messages of `send()`, by how it ended for them.',
  },
  'waybill.relay.read.duration': {
    kind: 'histogram',
    unit: 's',
    source: 'process',
    labels: ['transport', 'consumer', 'error.type'],
    doc: 'How long a read of the outbox took.',
  },
  'waybill.relay.read.messages': {
    kind: 'counter',
    unit: '{message}',
    source: 'process',
    labels: ['transport', 'consumer'],
    doc: 'Rows that reads of the outbox brought.',
  },
  'waybill.relay.retries': {
    kind: 'counter',
    unit: '{message}',
    source: 'process',
    labels: ['channel', 'consumer', 'error.type'],
    doc: 'Messages that failed and will be tried again; a lower limit where `waybill.outbox.truncated` is 1. What is not there then is not 0.',
  },
  'waybill.relay.blocked': {
    kind: 'counter',
    unit: '{message}',
    source: 'process',
    labels: ['channel', 'consumer', 'error.type'],
    doc: 'Messages given up that keep their keys waiting for an operator.',
  },
  'waybill.relay.dead_letters': {
    kind: 'counter',
    unit: '{message}',
    source: 'process',
    labels: ['channel', 'consumer', 'reason'],
    doc: 'Messages that a relay, or a local consumer, gave up.',
  },
  'waybill.relay.held': {
    kind: 'gauge',
    unit: '1',
    source: 'process',
    labels: ['channel', 'consumer'],
    doc: '1 while the channel’s destination fails for everyone and is left alone; 0 after that.',
  },
  'waybill.relay.partitions': {
    kind: 'gauge',
    unit: '{partition}',
    source: 'process',
    labels: ['transport', 'consumer'],
    doc: 'Partitions this process holds.',
  },
  'waybill.relay.lost_leases': {
    kind: 'counter',
    unit: '{partition}',
    source: 'process',
    labels: ['transport', 'consumer'],
    doc: 'Partitions that were lost: to another relay, or with the lease session.',
  },
  'waybill.lost.messages': {
    kind: 'counter',
    unit: '{message}',
    source: 'process',
    labels: ['channel', 'consumer', 'cause'],
    doc: 'At-most-once messages that were certainly or possibly not delivered, or not handled, as far as this process saw it.',
  },
  'waybill.consumer.duplicates': {
    kind: 'counter',
    unit: '{message}',
    source: 'process',
    labels: ['channel', 'consumer'],
    doc: 'Copies that the inbox kept from their handler.',
  },
  'waybill.consumer.failures': {
    kind: 'counter',
    unit: '{message}',
    source: 'process',
    labels: ['channel', 'consumer', 'error.type'],
    doc: 'Runs of a handler that failed, alone and counted.',
  },
  'waybill.consumer.dead_letters': {
    kind: 'counter',
    unit: '{message}',
    source: 'process',
    labels: ['channel', 'consumer', 'error.type'],
    doc: 'Messages that a consumer at a broker gave up.',
  },
  'waybill.consumer.unavailable': {
    kind: 'counter',
    unit: '{event}',
    source: 'process',
    labels: ['consumer', 'error.type'],
    doc: 'Times the store or the broker could not be reached.',
  },
  'waybill.cleanup.rows': {
    kind: 'counter',
    unit: '{row}',
    source: 'process',
    labels: [],
    doc: 'Inbox rows past their retention that this process deleted.',
  },
  'waybill.store.up': {
    kind: 'gauge',
    unit: '1',
    source: 'store',
    labels: [],
    doc: '1 where the store answered the last look; 0 where it did not, and then no other metric of the store is there.',
  },
  'waybill.outbox.lag': {
    kind: 'gauge',
    unit: 's',
    source: 'store',
    labels: ['channel', 'consumer'],
    doc: 'Age of the oldest message that is due and not delivered, by the clock of the database; 0 where there is none.',
  },
  'waybill.outbox.pending': {
    kind: 'gauge',
    unit: '{message}',
    source: 'store',
    labels: ['channel', 'consumer'],
    doc: 'Messages that are due and not delivered; a lower limit where `waybill.outbox.truncated` is 1.',
  },
  'waybill.outbox.delayed': {
    kind: 'gauge',
    unit: '{message}',
    source: 'store',
    labels: ['channel', 'consumer'],
    doc: 'Messages that are not due yet; a lower limit where `waybill.outbox.truncated` is 1.',
  },
  'waybill.outbox.truncated': {
    kind: 'gauge',
    unit: '1',
    source: 'store',
    labels: ['channel', 'consumer'],
    doc: '1 where more waits, or more has failed, than was looked at.',
  },
  'waybill.outbox.retrying': {
    kind: 'gauge',
    unit: '{message}',
    source: 'store',
    labels: ['channel', 'consumer'],
    doc: 'Messages that failed and will be tried again.',
  },
  'waybill.outbox.blocked_keys': {
    kind: 'gauge',
    unit: '{key}',
    source: 'store',
    labels: ['channel', 'consumer'],
    doc: 'Keys that wait for an operator; as `waybill.outbox.retrying`.',
  },
  'waybill.outbox.parked_keys': {
    kind: 'gauge',
    unit: '{key}',
    source: 'store',
    labels: ['channel', 'consumer'],
    doc: 'Keys whose messages stand among the dead letters; as `waybill.outbox.retrying`.',
  },
  'waybill.dead_letters': {
    kind: 'gauge',
    unit: '{message}',
    source: 'store',
    labels: ['channel', 'consumer'],
    doc: 'Dead letters that are kept: of more than 20,000 the newest, and a channel that has none among them is left out.',
  },
  'waybill.partitions.unowned': {
    kind: 'gauge',
    unit: '{partition}',
    source: 'store',
    labels: ['transport', 'consumer'],
    doc: 'Partitions that no living relay holds.',
  },
  'waybill.transactions.oldest': {
    kind: 'gauge',
    unit: 's',
    source: 'store',
    labels: [],
    doc: 'Age of the oldest open or prepared transaction, where it is a minute or more; 0 otherwise.',
  },
} as const

export type MetricName = keyof typeof metricsTable

export const metricNames: readonly MetricName[] = Object.keys(metricsTable) as MetricName[]

export function metricOf(name: MetricName): Metric {
  return metricsTable[name]
}

/** As Prometheus names it: `waybill.outbox.lag` in seconds is `waybill_outbox_lag_seconds`. */
export function prometheusName(name: MetricName): string {
  const { kind, unit } = metricOf(name)
  const base = name.replaceAll('.', '_') + (unit === 's' ? '_seconds' : '')
  return kind === 'counter' ? `${base}_total` : base
}

export function prometheusLabel(label: MetricLabel): string {
  return label.replaceAll('.', '_')
}
