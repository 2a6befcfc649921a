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
