import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { GuaranteesMeasured } from '../../bench/guarantees-tasks.ts'
import { guarantees, guaranteeTerms, type Guarantee } from '../../src/guarantees/guarantees.ts'
import { root } from '../root.ts'
import { markedPage } from './marked.ts'

/** README.md with its section on the guarantees as the table and the last measurement have it. */
export function readmePage(): string {
  return markedPage('README.md', 'The guarantees', section())
}

function section(): string {
  const rows = guarantees.map((guarantee) => {
    const { promise, mayStillHappen } = guaranteeTerms[guarantee]
    return `| \`${guarantee}\` | ${promise} | ${mayStillHappen} |`
  })
  return `| guarantee | what it promises | what may still happen |
|---|---|---|
${rows.join('\n')}

${comparison()}`
}

interface Judged {
  readonly reliability: string
  readonly complexity: string
  readonly deduplication: string
}

/** What a measurement cannot say. */
const judged: Readonly<Record<Guarantee, Judged>> = {
  'at-most-once': { reliability: 'loses on faults', complexity: 'least', deduplication: 'none needed' },
  'at-least-once': {
    reliability: 'loses nothing',
    complexity: 'little',
    deduplication: 'yours, where a repeat matters',
  },
  'effectively-once': {
    reliability: 'loses nothing',
    complexity: 'in your handler',
    deduplication: 'your handler is idempotent',
  },
  'exactly-once': {
    reliability: 'loses and repeats nothing',
    complexity: 'in Waybill',
    deduplication: 'inbox, checkpoint or the broker’s transactions',
  },
}

function comparison(): string {
  const path = join(root, 'docs', 'guarantees-measured.json')
  if (!existsSync(path)) return ''
  const measured = JSON.parse(readFileSync(path, 'utf8')) as GuaranteesMeasured
  const rows = guarantees.flatMap((guarantee) =>
    (['kafka', 'local'] as const).map((transport) => {
      const { perSecond, p50Ms, p99Ms, copies, statements } = measured.transports[transport][guarantee]
      const { reliability, complexity, deduplication } = judged[guarantee]
      const cells = [
        `\`${guarantee}\``,
        reliability,
        complexity,
        transport,
        perSecond.toLocaleString('en'),
        `${p50Ms} / ${p99Ms} ms`,
        String(copies),
        String(statements),
        deduplication,
        guaranteeTerms[guarantee].useCase,
      ]
      return `| ${cells.join(' | ')} |`
    }),
  )
  return `What each costs, measured by \`npm run bench -- guarantees\` on ${measured.measuredOn} (${measured.machine}): orders in
transactions of ten, through relay and consumer, to one effect each; ${measured.payloadBytes}-byte payloads, PostgreSQL with fsync, one
broker, all on the same machine. Messages a second are from the first commit to the last effect, of one caller that commits in turn; latency is from
commit to the end of the handler, one message at a time; copies are messages on the wire beyond one of each, in runs without faults; statements are SQL statements for each
message, the order's own and the effect included, BEGIN and COMMIT not.

| guarantee | reliability | complexity | transport | messages/s | latency p50 / p99 | copies | statements | deduplication | for |
|---|---|---|---|---|---|---|---|---|---|
${rows.join('\n')}
`
}
