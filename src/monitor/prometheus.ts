import { Counter, Gauge, Histogram, Registry } from 'prom-client'
import type { LabelValues } from './bounded-labels.ts'
import {
  metricNames,
  metricOf,
  prometheusLabel,
  prometheusName,
  type MetricLabel,
  type MetricName,
} from './metrics-table.ts'
import type { Recorder } from './recording.ts'
import type { StoreFigures } from './store-figures.ts'

/** From a database call on the same machine to a send that times out. */
const buckets = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]

/** The metrics in a registry of their own: what else the process has registered is not ours to show. */
export class PrometheusMetrics implements Recorder {
  readonly contentType: string
  readonly #registry = new Registry()
  readonly #metrics = new Map<MetricName, (value: number, labels: Record<string, string>) => void>()
  readonly #ofStore: Gauge[] = []
  readonly #figures: StoreFigures

  constructor(figures: StoreFigures) {
    this.#figures = figures
    this.contentType = this.#registry.contentType
    for (const name of metricNames) this.#metrics.set(name, this.#register(name))
  }

  record(metric: MetricName, value: number, labels: LabelValues): void {
    this.#metrics.get(metric)!(value, labelsOf(labels))
  }

  async render(): Promise<string> {
    const figures = await this.#figures.read()
    // Of a channel that is gone, or a store that does not answer, the last figure must not stand there for ever. From here on
    // nothing is awaited before the text is made, so that another scrape does not empty it.
    for (const gauge of this.#ofStore) gauge.reset()
    for (const { metric, value, labels } of figures) this.record(metric, value, labels)
    return await this.#registry.metrics()
  }

  #register(name: MetricName): (value: number, labels: Record<string, string>) => void {
    const { kind, doc, labels, source } = metricOf(name)
    const options = {
      name: prometheusName(name),
      help: doc.replaceAll('`', ''),
      labelNames: labels.map((label) => prometheusLabel(label)),
      registers: [this.#registry],
    }
    switch (kind) {
      case 'counter': {
        const counter = new Counter(options)
        return (value, own) => counter.inc(own, value)
      }
      case 'histogram': {
        const histogram = new Histogram({ ...options, buckets })
        return (value, own) => histogram.observe(own, value)
      }
      case 'gauge': {
        const gauge = new Gauge(options)
        // Without labels a gauge that was never set reads 0, which is a claim.
        gauge.reset()
        if (source === 'store') this.#ofStore.push(gauge)
        return (value, own) => gauge.set(own, value)
      }
    }
  }
}

function labelsOf(labels: LabelValues): Record<string, string> {
  return Object.fromEntries(
    Object.entries(labels).map(([label, value]) => [prometheusLabel(label as MetricLabel), value]),
  )
}
