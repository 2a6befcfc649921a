import {
  metricLabels,
  metricNames,
  metricOf,
  prometheusLabel,
  prometheusName,
  type MetricLabel,
} from '../../src/monitor/metrics-table.ts'

/** docs/metrics.md, from the table that the code itself reads. */
export function metricsPage(): string {
  const rows = (source: 'process' | 'store'): string =>
    metricNames
      .filter((name) => metricOf(name).source === source)
      .map((name) => {
        const { kind, unit, labels, doc } = metricOf(name)
        const shown = labels.map((label) => `\`${prometheusLabel(label)}\``).join(', ')
        return `| \`${prometheusName(name)}\` | \`${name}\` | ${kind} | \`${unit}\` | ${shown} | ${doc} |`
      })
      .join('\n')
  const labels = (Object.keys(metricLabels) as MetricLabel[])
    .map((label) => `| \`${prometheusLabel(label)}\` | \`${label}\` | ${metricLabels[label]} |`)
    .join('\n')
  return `${introduction}
## Of the process

What this process did since it was started.

| Prometheus | OpenTelemetry | kind | unit | labels | what it is |
|---|---|---|---|---|---|
${rows('process')}

## Of the store

What is in the store, the same from every process that shares it: alert on the highest, never on the sum.

| Prometheus | OpenTelemetry | kind | unit | labels | what it is |
|---|---|---|---|---|---|
${rows('store')}

## Labels

Every label has a bounded number of values: \`channel\` is one of the configuration, or \`other\`; of any other label the first hundred
values count, and what comes later is \`other\`.

| Prometheus | OpenTelemetry | what it says |
|---|---|---|
${labels}
`
}

const introduction = `<!-- Written by "npm run docs" from src/monitor/metrics-table.ts: change it there. -->

# Metrics

For Prometheus, with \`monitor: httpMonitor()\` from \`waybill/monitor\` in the configuration (\`waybill relay\` has it) and the setting
\`httpPort\`: \`/metrics\` at \`httpHost\`, which is this machine alone unless it is set. For OpenTelemetry, with
\`monitor: otelMonitor()\` from \`waybill/otel\`, through the API's meter. Names follow the OpenTelemetry conventions for messaging where
those have one.

What is worth an alert: \`waybill_outbox_lag_seconds\` above what your messages may wait, \`waybill_store_up\` at 0,
\`waybill_partitions_unowned\` above 0 for longer than a lease, \`waybill_outbox_blocked_keys\` or \`waybill_dead_letters\` above 0, and
\`waybill_transactions_oldest_seconds\` above some minutes: such a transaction holds vacuum back.
`
