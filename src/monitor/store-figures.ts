import type { CensusReport } from '../kernel/census.ts'
import type { MonitorSource } from '../kernel/monitoring.ts'
import { BoundedLabels, type LabelValues } from './bounded-labels.ts'
import type { MetricName } from './metrics-table.ts'

export interface Figure {
  readonly metric: MetricName
  readonly value: number
  readonly labels: LabelValues
}

/** A look is used for so long at least: scraping often, or by many, costs the database no more than this. */
const freshMs = 5000

/** And so many times as long as it took: where it is dear (dead rows that no vacuum may take away) it becomes rare. */
const rest = 10

export interface StoreFiguresOptions {
  readonly source: MonitorSource
  readonly now: () => number
}

/** The metrics of the store, from a census that several askers share. */
export class StoreFigures {
  readonly #options: StoreFiguresOptions
  readonly #bounded: BoundedLabels
  #last: { staleAt: number; readonly figures: Promise<readonly Figure[]> } | null = null

  constructor(options: StoreFiguresOptions) {
    this.#options = options
    this.#bounded = new BoundedLabels(options.source)
  }

  /** Never rejects: a store that does not answer is a figure too. None without a store. */
  read(): Promise<readonly Figure[]> {
    const { now } = this.#options
    const at = now()
    if (this.#last !== null && at < this.#last.staleAt) return this.#last.figures
    // Until it has ended nobody begins another.
    const look = (this.#last = { staleAt: Number.POSITIVE_INFINITY, figures: this.#look() })
    return look.figures.finally(() => {
      look.staleAt = at + Math.max(freshMs, rest * (now() - at))
    })
  }

  async #look(): Promise<readonly Figure[]> {
    const { census } = this.#options.source
    if (census === null) return []
    try {
      const figures = figuresOf(await census())
      return merged(figures.map((figure) => ({ ...figure, labels: this.#bounded.bound(figure.labels) })))
    } catch {
      // Whoever reads the log finds why: relays and consumers tell it there.
      return [{ metric: 'waybill.store.up', value: 0, labels: {} }]
    }
  }
}

/** Channels that share the label `other` share their figures: the highest where a sum means nothing. */
function merged(figures: readonly Figure[]): readonly Figure[] {
  const byName = new Map<string, Figure>()
  for (const figure of figures) {
    const name = JSON.stringify([figure.metric, figure.labels])
    const known = byName.get(name)
    const isHighest = figure.metric === 'waybill.outbox.lag' || figure.metric === 'waybill.outbox.truncated'
    const value =
      known === undefined
        ? figure.value
        : isHighest
          ? Math.max(known.value, figure.value)
          : known.value + figure.value
    byName.set(name, { ...figure, value })
  }
  return [...byName.values()]
}

function figuresOf(report: CensusReport): readonly Figure[] {
  const figures: Figure[] = [{ metric: 'waybill.store.up', value: 1, labels: {} }]
  const add = (metric: MetricName, value: number, labels: LabelValues): void => {
    figures.push({ metric, value, labels })
  }
  // Only so many are looked at: where there are more, none of a channel was found, which is not to say that there is none.
  const isCut = report.dead.some(({ isAtLeast }) => isAtLeast)
  for (const { channel, consumer, ...lane } of report.lanes ?? []) {
    const labels = { channel, consumer }
    add('waybill.outbox.lag', (lane.oldestMs ?? 0) / 1000, labels)
    add('waybill.outbox.pending', lane.pending, labels)
    add('waybill.outbox.delayed', lane.delayed, labels)
    add('waybill.outbox.truncated', lane.isAtLeast || lane.isFailingAtLeast ? 1 : 0, labels)
    const failing = [
      ['waybill.outbox.retrying', lane.retrying],
      ['waybill.outbox.blocked_keys', lane.blocked],
      ['waybill.outbox.parked_keys', lane.parked],
    ] as const
    for (const [metric, count] of failing) if (count > 0 || !lane.isFailingAtLeast) add(metric, count, labels)
    const hasLetters = report.dead.some((each) => each.channel === channel && each.consumer === consumer)
    if (!hasLetters && !isCut) add('waybill.dead_letters', 0, labels)
  }
  for (const { channel, consumer, count } of report.dead)
    add('waybill.dead_letters', count, { channel, consumer })
  for (const { transport, consumer, unownedCount } of report.partitions)
    add('waybill.partitions.unowned', unownedCount, { transport, consumer })
  add('waybill.transactions.oldest', (report.transactions[0]?.ageMs ?? 0) / 1000, {})
  return figures
}
