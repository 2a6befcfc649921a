import { guarantees, guaranteeTerms } from '../../src/guarantees/guarantees.ts'
import { waiting } from '../../src/prove/waiting.ts'
import { allowedAnomalies } from '../../src/testing.ts'
import { coverage } from '../proof/coverage.ts'
import type { Coverage, Shown } from '../proof/shown.ts'
import { markedPage } from './marked.ts'

const name = 'docs/proof.md'

/** docs/proof.md with its tables anew; what runs have seen is left as `npm run prove:full` wrote it. */
export function proofPage(): string {
  return markedPage(
    name,
    'The coverage',
    coverageSection(),
    markedPage(name, 'The guarantees', allowedSection()),
  )
}

/** The whole difference between guarantees, as the checkers have it. */
export function allowedSection(): string {
  const rows = guarantees.map((guarantee) => {
    const { promise, mayStillHappen } = guaranteeTerms[guarantee]
    const allowed = allowedAnomalies[guarantee].map((kind) => `\`${kind}\``).join(', ')
    return `| \`${guarantee}\` | ${promise} | ${allowed} | ${mayStillHappen} |`
  })
  return `| guarantee | promise | checkers allow | what may still happen |
|---|---|---|---|
${rows.join('\n')}
`
}

/** Each row of the matrix of faults: where it is shown, or what it waits for. */
export function coverageSection(): string {
  return `| | fault | shown by | waits for |
|---|---|---|---|
${coverage.map(coverageRow).join('\n')}
`
}

function coverageRow({ id, fault, shown, outside }: Coverage): string {
  const waits = waiting
    .filter(({ rows }) => rows.includes(id))
    .map((one) => (one.isInPart ? `in part: ${one.for}` : one.for))
  const by = [...shownText(shown), ...(outside === undefined ? [] : [`outside: ${outside}`])]
  return `| ${id} | ${fault} | ${by.join('<br>')} | ${waits.join('<br>')} |`
}

function shownText(shown: readonly Shown[]): readonly string[] {
  const faults = shown.flatMap((one) => (one.by === 'prove' ? [`\`${one.fault}\``] : []))
  const points = shown.flatMap((one) => (one.by === 'crash' ? [`\`${one.point}\``] : []))
  const tests = shown.flatMap((one) => (one.by === 'test' ? [`${one.file}: “${one.name}”`] : []))
  return [
    ...(faults.length === 0 ? [] : [`prove: ${faults.join(', ')}`]),
    ...(points.length === 0 ? [] : [`killed at ${points.join(', ')}`]),
    ...tests,
  ]
}
