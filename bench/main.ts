import { parseArgs } from 'node:util'
import { guarantees } from './guarantees.ts'
import { type Figure, isBelowBar } from './measure.ts'
import { relay, relayGroups } from './relay.ts'
import { takeover } from './takeover.ts'

export interface BenchContext {
  readonly rounds: number
  /** Of the usual sizes; 1 but while a bench is being developed. */
  readonly scale: number
  /** Groups to run; all where it is not given. */
  readonly only: readonly string[] | undefined
  /** Progress for people; never on stdout. */
  readonly tell: (line: string) => void
}

const benches: Readonly<Record<string, (context: BenchContext) => Promise<readonly Figure[]>>> = {
  guarantees,
  relay,
  takeover,
}

const usage = `Usage: npm run bench -- ${Object.keys(benches).join('|')} [options]

Ratios of medians, measured in turn in one run. Exits 1 where one is below its bar.

  --rounds N     rounds of each contender, after one to warm up (default 5)
  --json         one line for programs on stdout
  --only A,B     of the relay's bench: ${relayGroups.join(', ')}
  --scale F      smaller sizes, to try a bench out: its ratios mean little

npm run bench -- relay
npm run bench -- relay --only drain --rounds 3 --json
`

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    json: { type: 'boolean', default: false },
    rounds: { type: 'string', default: '5' },
    scale: { type: 'string', default: '1' },
    only: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
})
const bench = benches[positionals[0] ?? '']
const rounds = Number(values.rounds)
const scale = Number(values.scale)
const only = values.only?.split(',')
const isWrong =
  bench === undefined ||
  !Number.isSafeInteger(rounds) ||
  rounds < 1 ||
  !(scale > 0) ||
  only?.some((name) => !relayGroups.includes(name)) === true
if (values.help || isWrong) {
  process.stderr.write(usage)
  process.exit(values.help ? 0 : 2)
}

const tell = (line: string): void => void process.stderr.write(`${line}\n`)
if (scale !== 1) tell('With --scale the figures are for trying out; they are not to be judged.')
const figures = await bench({ rounds, scale, only, tell })
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
