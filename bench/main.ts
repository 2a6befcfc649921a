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
  /** Whether docs/ gets the answer. */
  readonly writes: boolean
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
  --write        docs/ gets the answer; "npm run docs" then makes its page
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
    write: { type: 'boolean', default: false },
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
  only?.some((name) => !relayGroups.includes(name)) === true ||
  // What is written is the whole, in its usual size.
  (values.write && (scale !== 1 || only !== undefined))
if (values.help || isWrong) {
  process.stderr.write(usage)
  process.exit(values.help ? 0 : 2)
}

const tell = (line: string): void => void process.stderr.write(`${line}\n`)
if (scale !== 1) tell('With --scale the figures are for trying out; they are not to be judged.')
const figures = await bench({ rounds, scale, only, writes: values.write, tell })
process.stdout.write(values.json ? `${JSON.stringify(figures)}\n` : tableOf(figures))
process.exit(figures.some(isBelowBar) ? 1 : 0)

function tableOf(figures: readonly Figure[]): string {
  const width = Math.max(...figures.map(({ name }) => name.length))
  const line = (figure: Figure): string => {
    const { name, value, unit, bar, aim, better, note } = figure
    const start = name.padEnd(width)
    if (value === null) return `${start}  not measured: ${note}`
    const sign = better === 'higher' ? '>=' : '<='
    const judged = bar === null ? '' : `  bar ${sign} ${bar}${aim === null ? '' : `, aim ${aim}`}`
    return `${start}  ${String(value).padStart(10)} ${unit.padEnd(6)}${judged}${isBelowBar(figure) ? '  BELOW' : ''}`
  }
  return figures.map((figure) => `${line(figure).trimEnd()}\n`).join('')
}
