import { closeSync, openSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { HistoryEvent } from '../testing.ts'
import { isInjected, type Spell } from './rows.ts'

/** Everything that processes noted, databases held and faults did, in order of time; `readHistory` of waybill/testing reads it. */
export function mergedHistory(
  tracks: readonly (readonly HistoryEvent[])[],
  readings: readonly HistoryEvent[],
  spells: readonly Spell[],
): readonly HistoryEvent[] {
  const faults = spells
    .filter(({ fault }) => isInjected(fault))
    .flatMap(({ fault, from, to }): readonly HistoryEvent[] => {
      const mark = { process: 'prove', f: 'fault', key: fault, seq: null, id: null } as const
      return [
        { ...mark, type: 'invoke', t: from },
        { ...mark, type: 'ok', t: to },
      ]
    })
  return [...tracks.flat(), ...readings, ...faults].sort((a, b) => a.t - b.t)
}

/** Events in one write. */
const written = 10_000

/** Writes it where it outlives the run, readable for its owner alone. Returns the path. */
export function keepHistory(runId: string, events: readonly HistoryEvent[]): string {
  const path = join(tmpdir(), `${runId}.ndjson`)
  const file = openSync(path, 'w', 0o600)
  try {
    // As one text, the events of some hours would be longer than a string can be.
    for (let from = 0; from < events.length; from += written) {
      const lines = events.slice(from, from + written).map((event) => `${JSON.stringify(event)}\n`)
      writeFileSync(file, lines.join(''))
    }
  } finally {
    closeSync(file)
  }
  return path
}
