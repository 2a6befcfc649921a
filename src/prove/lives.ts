import type { HistoryEvent } from '../testing.ts'
import type { Spell } from './rows.ts'

/** So long a message may be under way without any fault, on a busy machine. */
const mostUnderWayUs = 5_000_000

export interface Life {
  readonly from: number
  readonly to: number
  readonly isCommitted: boolean
}

export function isUnderWay({ from, to }: Life, spell: Spell): boolean {
  return from <= spell.to && to >= spell.from
}

/**
 * The spells in which it was under way. What lived in the quiet between two of them, or behind the last, is charged to the one
 * before: that should have been over without a trace.
 */
export function chargedTo(life: Life, spells: readonly Spell[]): readonly Spell[] {
  const felt = spells.filter((spell) => isUnderWay(life, spell))
  if (felt.length > 0) return felt
  const before = spells.findLast(({ from }) => from <= life.from) ?? spells[0]
  return before === undefined ? [] : [before]
}

/**
 * From the beginning of a message's transaction to the last that is known of it. One whose end nobody saw was lost, if it was, in the
 * spell in which it was written: what was written before the end of a spell has had its effect when that has become quiet. In a quiet
 * time it was lost by the spell that followed, where that came so soon that it may still have been under way.
 */
export function livesOf(
  history: readonly HistoryEvent[],
  spells: readonly Spell[],
): ReadonlyMap<string, Life> {
  const lives = new Map<string, { from: number; to: number; hasEnd: boolean; isCommitted: boolean }>()
  for (const { id, f, type, t } of history) {
    if (id === null || f === 'output') continue
    const life = lives.get(id)
    const isEnd = (f === 'write' && type === 'fail') || ((f === 'effect' || f === 'dead') && type === 'ok')
    const isCommitted = f === 'write' && type === 'ok'
    if (life === undefined) lives.set(id, { from: t, to: t, hasEnd: isEnd, isCommitted })
    else {
      life.to = t
      life.hasEnd ||= isEnd
      life.isCommitted ||= isCommitted
    }
  }
  const quietAfter = (t: number): number => {
    const next = spells.find(({ to }) => t <= to)
    if (next === undefined) return Infinity
    return next.from - t > mostUnderWayUs ? t : next.quietAt
  }
  return new Map(
    [...lives].map(([id, { from, to, hasEnd, isCommitted }]) => [
      id,
      { from, to: hasEnd ? to : Math.max(to, quietAfter(from)), isCommitted },
    ]),
  )
}
