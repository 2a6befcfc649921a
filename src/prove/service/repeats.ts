/** A call of an idempotent handler with messages whose effect was there already. */
export interface RepeatedCall {
  /** Effects and repeated calls are numbered together, in the order in which they were noted. */
  readonly number: number
  readonly messages: readonly {
    readonly id: string
    readonly key: string
    /** Nothing later of its key had been handled. */
    readonly isLatest: boolean
  }[]
  /** Rows that came (above 0) and went, by their content. `null`: it cannot be told what of it was a repeat's. */
  readonly changes: readonly { readonly row: string; readonly sign: number }[] | null
}

/** An effect that was the message's first. */
export interface FirstEffect {
  readonly number: number
  readonly key: string
}

interface Sum {
  readonly net: Map<string, number>
  /** Keys whose latest message has not come again. */
  readonly behind: Set<string>
  readonly keys: Set<string>
  from: number
}

export interface Repeats {
  /** The calls that had a second effect. */
  readonly second: ReadonlySet<RepeatedCall>
  /** Calls of which it can be told: everything that they changed is summed up, and no new message came between. */
  readonly judged: number
}

/**
 * What repeated calls have changed. A handler that sets a state undoes it for a moment where older messages of a key come again, and the
 * later ones, which come again behind them, set it anew: so changes are summed up for the keys of a call until the latest message of
 * each has been run, and must be nothing then. Nothing is said of keys on which a new message came before that.
 */
export function secondEffects(calls: readonly RepeatedCall[], firsts: readonly FirstEffect[]): Repeats {
  const newest = Map.groupBy(firsts, ({ key }) => key)
  const isOvertaken = ({ from, behind }: Sum, until: number): boolean =>
    [...behind].some((key) => newest.get(key)?.some(({ number }) => number > from && number < until) === true)
  const sums = new Map<string, Sum>()
  const second = new Set<RepeatedCall>()
  let judged = 0
  for (const call of calls) {
    const { number, messages, changes } = call
    const sum: Sum = { net: new Map(), behind: new Set(), keys: new Set(), from: number }
    for (const { key } of messages) {
      const before = sums.get(key)
      sum.keys.add(key)
      if (before === undefined) continue
      for (const other of before.keys) sums.delete(other)
      if (isOvertaken(before, number)) continue
      add(
        sum,
        [...before.net].map(([row, sign]) => ({ row, sign })),
      )
      for (const other of before.keys) sum.keys.add(other)
      for (const other of before.behind) sum.behind.add(other)
      sum.from = Math.min(sum.from, before.from)
    }
    if (changes === null) continue
    add(sum, changes)
    for (const { key, isLatest } of messages) {
      if (isLatest) sum.behind.delete(key)
      else sum.behind.add(key)
    }
    if (sum.behind.size > 0) {
      for (const key of sum.keys) sums.set(key, sum)
      continue
    }
    judged += 1
    if ([...sum.net.values()].some((net) => net !== 0)) second.add(call)
  }
  return { second, judged }
}

function add({ net }: Sum, changes: readonly { readonly row: string; readonly sign: number }[]): void {
  for (const { row, sign } of changes) net.set(row, (net.get(row) ?? 0) + sign)
}
