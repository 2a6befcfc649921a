import type { HistoryEvent, HistoryRecorder, ProcessMemory } from '../testing.ts'

/** Resident memory of one of the processes, over all its lives; in megabytes of a million bytes. */
export interface Memory extends ProcessMemory {
  readonly highest: number
}

const everyMs = 1000
const mark = 'memory'

/** Notes this process's own memory again and again. It does not keep the process alive. */
export function noteMemory(history: HistoryRecorder): void {
  setInterval(() => {
    history.note({ type: 'info', f: 'reading', key: mark, value: process.memoryUsage.rss() })
  }, everyMs).unref()
}

export function memoryOf(history: readonly HistoryEvent[]): readonly Memory[] {
  const samples = history.filter(
    ({ f, key, value }) => f === 'reading' && key === mark && value !== undefined,
  )
  const times = samples.map(({ t }) => t)
  const from = times.reduce((a, b) => Math.min(a, b), Infinity)
  const third = (times.reduce((a, b) => Math.max(a, b), -Infinity) - from) / 3
  return [...Map.groupBy(samples, ({ process }) => process)].map(([process, own]) => ({
    process,
    highest: megabytes(own.reduce((most, { value }) => Math.max(most, value!), 0)),
    first: megabytes(medianOf(own.filter(({ t }) => t <= from + third))),
    last: megabytes(medianOf(own.filter(({ t }) => t >= from + 2 * third))),
  }))
}

function medianOf(samples: readonly HistoryEvent[]): number {
  const sorted = samples.map(({ value }) => value!).sort((a, b) => a - b)
  return sorted[sorted.length >> 1] ?? 0
}

function megabytes(bytes: number): number {
  return Math.round(bytes / 1e5) / 10
}
