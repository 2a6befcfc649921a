import type { Anomaly, HistoryEvent } from '../testing.ts'

/** What is wrong with one message, and everything that is known of it, in order of time. */
export interface CounterExample extends Anomaly {
  readonly events: readonly HistoryEvent[]
}

/** Where the anomaly is of no message but of a sum or a key, the events are that one's. */
export function counterExampleOf(anomaly: Anomaly, history: readonly HistoryEvent[]): CounterExample {
  const ids = new Set([anomaly.id, anomaly.other])
  const ofMessages = history.filter(
    ({ id, of }) => (id !== null && ids.has(id)) || (of !== undefined && ids.has(of)),
  )
  const events = ofMessages.length > 0 ? ofMessages : history.filter(({ key }) => key === anomaly.id)
  return { ...anomaly, events: events.toSorted((a, b) => a.t - b.t) }
}
