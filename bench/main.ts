import { parseArgs } from 'node:util'
import { guarantees } from './guarantees.ts'
import { type Figure, isBelowBar } from './measure.ts'
import { spine } from './spine.ts'

export interface BenchContext {
  readonly rounds: number
  /** Progress for people; never on stdout. */
  readonly tell: (line: string) => void
}

const benches: Readonly<Record<string, (context: BenchContext) => Promise<readonly Figure[]>>> = {
  guarantees,
  spine,
}

const usage = `Usage: npm run bench -- ${Object.keys(benches).join('|')} [--json] [--rounds N]

Ratios of medians, measured in turn in one run. Exits 1 where one is below its bar.
`

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    json: { type: 'boolean', default: false },
    rounds: { type: 'string', default: '5' },
    help: { type: 'boolean', default: false },
  },
})
const bench = benches[positionals[0] ?? '']
const rounds = Number(values.rounds)
if (values.help || bench === undefined || !Number.isSafeInteger(rounds) || rounds < 1) {
  process.stderr.write(usage)
  process.exit(values.help ? 0 : 2)
}

const figures = await bench({ rounds, tell: (line) => process.stderr.write(`${line}\n`) })
if (values.json) process.stdout.write(`${JSON.stringify(figures)}\n`)
else {
  for (const figure of figures) {
    const bar =
      figure.bar === null
        ? ''
        : `   bar ${figure.bar}, aim ${figure.aim}${isBelowBar(figure) ? '   BELOW' : ''}`
    process.stdout.write(
      `${figure.name.padEnd(60)} ${String(figure.value).padStart(9)} ${figure.unit}${bar}\n`,
    )
  }
}
process.exit(figures.some(isBelowBar) ? 1 : 0)
