import type { MonitorSource } from '../kernel/monitoring.ts'
import type { MetricLabel } from './metrics-table.ts'

export type LabelValues = Readonly<Partial<Record<MetricLabel, string>>>

/** Different values of a label that nothing else bounds, at most. */
const mostValues = 100

const other = 'other'

/**
 * Keeps each label to a bounded set of values, so that what comes from messages, handlers and brokers cannot grow a metric for
 * ever (S13): channels are those of the configuration, and of all else the first hundred count.
 */
export class BoundedLabels {
  readonly #channels: ReadonlySet<string>
  readonly #seen = new Map<MetricLabel, Set<string>>()

  constructor({ channels, consumers }: Pick<MonitorSource, 'channels' | 'consumers'>) {
    this.#channels = new Set(channels.map(({ name }) => name))
    // Known ones have their place, whatever comes first.
    this.#seen.set('consumer', new Set(['', ...consumers]))
  }

  bound(labels: LabelValues): LabelValues {
    const bounded: Partial<Record<MetricLabel, string>> = {}
    for (const [name, value] of Object.entries(labels) as [MetricLabel, string][])
      bounded[name] = this.#value(name, value)
    return bounded
  }

  #value(label: MetricLabel, value: string): string {
    if (label === 'channel') return this.#channels.has(value) ? value : other
    let seen = this.#seen.get(label)
    if (seen === undefined) this.#seen.set(label, (seen = new Set()))
    if (seen.has(value)) return value
    if (seen.size >= mostValues || value.length > 255) return other
    seen.add(value)
    return value
  }
}
