/** One line of a bench's answer. */
export interface Figure {
  readonly name: string
  readonly value: number
  readonly unit: string
  /** Below it (or above, where lower is better) the run fails. */
  readonly bar: number | null
  readonly aim: number | null
  readonly better: 'higher' | 'lower'
  /** The value of each round. */
  readonly runs: readonly number[]
}

export interface Contender {
  readonly name: string
  /** One measurement, in operations a second. */
  run(): Promise<number>
}

export interface Comparison {
  readonly name: string
  /** What is judged. */
  readonly subject: Contender
  /** What it is judged against. */
  readonly base: Contender
  readonly bar: number
  readonly aim: number
  /** Short runs in place of each round: for contenders that are nearly as fast as each other. @default 1 */
  readonly turns?: number
}

/**
 * Runs subject and base in turn, so that a busy minute of the machine hits both, and gives the ratio of their medians beside
 * the rates. One round before the first is thrown away: it warms caches and compilers.
 */
export async function compare(
  comparison: Comparison,
  rounds: number,
  tell: (line: string) => void,
): Promise<readonly Figure[]> {
  const { subject, base, turns = 1 } = comparison
  const last = rounds * turns
  const rates = new Map<Contender, number[]>([
    [subject, []],
    [base, []],
  ])
  for (let round = 0; round <= last; round++) {
    // Who goes first changes each round: the second one finds the caches of the first.
    for (const contender of round % 2 === 0 ? [subject, base] : [base, subject]) {
      const rate = await contender.run()
      if (round > 0) rates.get(contender)!.push(rate)
      tell(`${comparison.name}: round ${round} of ${last}, ${contender.name} ${Math.round(rate)}/s`)
    }
  }
  const own = rates.get(subject)!
  const other = rates.get(base)!
  const ratios = own.map((rate, i) => rate / other[i]!)
  return [
    {
      name: comparison.name,
      value: round(median(own) / median(other)),
      unit: 'ratio',
      bar: comparison.bar,
      aim: comparison.aim,
      better: 'higher',
      runs: ratios.map(round),
    },
    ...[subject, base].map((contender): Figure => {
      const runs = rates.get(contender)!
      const value = Math.round(median(runs))
      const name = `${comparison.name}: ${contender.name}`
      return { name, value, unit: '1/s', bar: null, aim: null, better: 'higher', runs: runs.map(Math.round) }
    }),
  ]
}

export function isBelowBar(figure: Figure): boolean {
  if (figure.bar === null) return false
  return figure.better === 'higher' ? figure.value < figure.bar : figure.value > figure.bar
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = Math.floor(sorted.length / 2)
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

function round(value: number): number {
  return Math.round(value * 1000) / 1000
}
