/** One line of a bench's answer. */
export interface Figure {
  readonly name: string
  /** `null`: not measured; `note` says why. */
  readonly value: number | null
  readonly unit: string
  /** Below it (or above, where lower is better) the run fails. */
  readonly bar: number | null
  readonly aim: number | null
  readonly better: 'higher' | 'lower'
  /** The value of each round. */
  readonly runs: readonly number[]
  readonly note?: string
}

/** What one run of a contender measured, by name. `rate` is operations a second. */
export type Readings = Readonly<Record<string, number>>

/** One side of a comparison. */
export interface Contender {
  readonly name: string
  /** One measurement; a text says why it cannot be made on this machine. */
  run(): Promise<Readings | string>
}

/** A reading of a contender. */
export interface Source {
  readonly contender: string
  /** @default 'rate' */
  readonly reading?: string
  /** What is taken of its rounds. @default 'median' */
  readonly by?: 'median' | 'highest'
}

/** What is asked of a group's readings. */
export interface Row {
  readonly name: string
  readonly of: Source
  /** Where there is one the value is the ratio of the two. */
  readonly against?: Source
  readonly unit: string
  readonly bar: number | null
  readonly aim: number | null
  /** @default 'higher' */
  readonly better?: 'higher' | 'lower'
}

/** A contender's rate as a share of another's. */
export function ratio(
  name: string,
  of: string,
  against: string,
  bar: number | null,
  aim: number | null,
): Row {
  return { name, of: { contender: of }, against: { contender: against }, unit: 'ratio', bar, aim }
}

/** Contenders that are run in turn, so that a busy minute of the machine hits all of them. */
export interface Group {
  readonly name: string
  readonly contenders: readonly Contender[]
  readonly rows: readonly Row[]
  readonly rounds: number
  /** Whether one round before the first is thrown away: it warms caches and compilers. @default true */
  readonly warmsUp?: boolean
  /** Past it no further round is begun: what has been measured so far has to do. @default no limit */
  readonly limitMs?: number
}

/**
 * Runs the contenders of a group in turn, and answers with the group's rows, then with the rate of each contender.
 */
export async function measure(group: Group, tell: (line: string) => void): Promise<readonly Figure[]> {
  const { contenders, rows, rounds, warmsUp = true, limitMs = Infinity } = group
  const results = new Map(contenders.map(({ name }) => [name, [] as Readings[]]))
  const excuses = new Map<string, string>()
  const began = performance.now()
  for (let round = warmsUp ? 0 : 1; round <= rounds; round++) {
    if (round > 1 && performance.now() - began > limitMs) {
      tell(`${group.name}: over its time; ${round - 1} of ${rounds} rounds have to do`)
      break
    }
    // Who goes first changes each round: the next one finds the caches of the one before.
    const first = round % contenders.length
    for (const contender of [...contenders.slice(first), ...contenders.slice(0, first)]) {
      const { name } = contender
      if (excuses.has(name)) continue
      const result = await contender.run()
      if (typeof result === 'string') {
        excuses.set(name, result)
        tell(`${group.name}: ${name}: not measured: ${result}`)
        continue
      }
      if (round > 0) results.get(name)!.push(result)
      tell(`${group.name}: round ${round} of ${rounds}, ${name}: ${sentenceOf(result)}`)
    }
  }
  const taken = (source: Source): readonly number[] =>
    (results.get(source.contender) ?? []).map((each) => readingOf(each, source))
  return [
    ...rows.map((row) => figureOf(row, taken, excuses)),
    ...contenders.flatMap(({ name }) => {
      const runs = taken({ contender: name }).filter((rate) => !Number.isNaN(rate))
      return runs.length === 0 ? [] : [rateOf(`${group.name}: ${name}`, runs)]
    }),
  ]
}

export function isBelowBar({ value, bar, better }: Figure): boolean {
  if (bar === null || value === null) return false
  return better === 'higher' ? value < bar : value > bar
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = Math.floor(sorted.length / 2)
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

function figureOf(
  { name, of, against, unit, bar, aim, better = 'higher' }: Row,
  taken: (source: Source) => readonly number[],
  excuses: ReadonlyMap<string, string>,
): Figure {
  const judged = { name, unit, bar, aim, better }
  const note = excuses.get(of.contender) ?? excuses.get(against?.contender ?? '')
  if (note !== undefined) return { ...judged, value: null, runs: [], note }
  const own = taken(of)
  const other = against === undefined ? undefined : taken(against)
  // A reading that is not there would pass every bar: NaN is neither below nor above.
  if (own.length === 0 || [...own, ...(other ?? [])].some((value) => !Number.isFinite(value)))
    throw new Error(`nothing was measured for "${name}"`)
  if (against === undefined || other === undefined)
    return { ...judged, value: rounded(summed(own, of)), runs: own.map(rounded) }
  const runs = own.map((value, i) => rounded(value / other[i]!))
  return { ...judged, value: rounded(summed(own, of) / summed(other, against)), runs }
}

function readingOf(readings: Readings, { reading = 'rate' }: Source): number {
  return readings[reading] ?? Number.NaN
}

function summed(values: readonly number[], { by = 'median' }: Source): number {
  return by === 'highest' ? Math.max(...values) : median(values)
}

function rateOf(name: string, runs: readonly number[]): Figure {
  const value = Math.round(median(runs))
  return { name, value, unit: '1/s', bar: null, aim: null, better: 'higher', runs: runs.map(Math.round) }
}

function sentenceOf(readings: Readings): string {
  return Object.entries(readings)
    .map(([name, value]) => (name === 'rate' ? `${Math.round(value)}/s` : `${name} ${rounded(value)}`))
    .join(', ')
}

function rounded(value: number): number {
  return Math.round(value * 1000) / 1000
}
