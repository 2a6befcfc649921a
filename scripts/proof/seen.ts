import { durationText } from '../../src/guarantees/duration.ts'
import { isInjected, noFault, type Row, startSpell } from '../../src/prove/rows.ts'
import { type ProofRun, type Seen, seenOf, trackName } from './runs.ts'

/** What all runs have seen: fault by guarantee, and what is wrong or missing, in full. */
export function seenSection(runs: readonly ProofRun[]): string {
  const list = runs.map(
    ({ transport, seed, date, on, seconds, tookSeconds, verdict, rows }) =>
      `| \`waybill prove --transport ${transport} --seconds ${seconds} --seed ${seed}\` | ${date} | ${on} | ${Math.round(tookSeconds)} s | ${faultsOf(rows)} | ${verdict} |`,
  )
  const transports = [...new Set(runs.map(({ transport }) => transport))]
  return `| command | on | with | took | faults that ran | verdict |
|---|---|---|---|---|---|
${list.join('\n')}

${transports.map((transport) => tableOf(transport, runs)).join('\n\n')}

### Memory and logs

Resident memory of each process, over all its lives, in megabytes. ${linesOf(runs).toLocaleString('en')} lines of log were searched for rejections that nobody
handled, for the password of the database and for a text that stood in every payload.

| run | process | median of the first third | of the last | highest |
|---|---|---|---|---|
${runs.flatMap(memoryLines).join('\n')}
${findingsOf(runs)}`
}

function faultsOf(rows: readonly Row[]): number {
  const ran = rows.filter(({ fault, verdict }) => isInjected(fault) && verdict !== 'not-run')
  return new Set(ran.map(({ fault }) => fault)).size
}

function tableOf(transport: string, runs: readonly ProofRun[]): string {
  const rows = runs.filter((run) => run.transport === transport).flatMap((run) => run.rows)
  const ran = rows.filter(({ verdict }) => verdict !== 'not-run')
  const tracks = [...new Set(ran.map(trackName))]
  const faults = [...new Set(ran.map(({ fault }) => fault))].toSorted(uninjectedFirst)
  const lines = faults.map((fault) => {
    const of = ran.filter((row) => row.fault === fault)
    const cells = tracks.map((track) => cell(seenOf(of.filter((row) => trackName(row) === track))))
    const { recoveryMs } = seenOf(of)
    const recovery = recoveryMs === null ? '' : durationText(Math.round(recoveryMs / 100) * 100)
    return `| ${fault} | ${cells.join(' | ')} | ${recovery} |`
  })
  return `### Over ${transport === 'kafka' ? 'Kafka' : 'the local transport'}

| fault | ${tracks.join(' | ')} | recovered in |
|---|${tracks.map(() => '---|').join('')}---|
${lines.join('\n')}`
}

function linesOf(runs: readonly ProofRun[]): number {
  return runs.reduce((sum, { logs }) => sum + logs.checked, 0)
}

function memoryLines({ transport, seed, memory }: ProofRun): string[] {
  return memory.map(
    ({ process, first, last, highest }) =>
      `| ${transport}, seed ${seed} | ${process} | ${first} | ${last} | ${highest} |`,
  )
}

/** What nobody made happen comes first. */
function uninjectedFirst(a: string, b: string): number {
  const rank = (fault: string): number => [startSpell, noFault].indexOf(fault)
  return rank(b) - rank(a) || a.localeCompare(b)
}

function cell({ verdict, messages, rerun, repeated, lost }: Seen): string {
  if (verdict === 'not-run') return ''
  const counts = [
    [rerun, 'rerun'],
    [repeated, 'repeated'],
    [lost, 'lost'],
  ] as const
  const seen = counts.filter(([count]) => count > 0).map(([count, word]) => `${count} ${word}`)
  const head = verdict === 'invalid' ? '**NO** ' : verdict === 'unknown' ? 'unknown ' : ''
  return `${head}${[messages, ...seen].join(', ')}`
}

/** Rows that do not hold or show nothing, with why; and what did not run. */
function findingsOf(runs: readonly ProofRun[]): string {
  const lines = runs.flatMap(({ transport, seed, rows, logs }) => {
    const told = (row: Row): string => {
      const [first] = row.anomalies
      const why = first === undefined ? '' : `: ${first.kind}, ${first.detail}`
      return `- ${transport}, seed ${seed}, ${trackName(row)}, ${row.fault}: ${row.verdict}${why}`
    }
    const wrong = rows.filter(({ verdict }) => verdict === 'invalid' || verdict === 'unknown').map(told)
    const left = Map.groupBy(
      rows.filter(({ verdict }) => verdict === 'not-run'),
      ({ anomalies }) => anomalies[0]?.detail ?? '',
    )
    const notRun = [...left].map(([why, of]) => {
      const faults = [...new Set(of.map(({ fault }) => fault))]
      return `- ${transport}, seed ${seed}, not run (${why}): ${faults.join(', ')}`
    })
    const said = logs.anomalies.map(
      ({ kind, detail }) => `- ${transport}, seed ${seed}, in the logs: ${kind}, ${detail}`,
    )
    return [...wrong, ...said, ...notRun]
  })
  return lines.length === 0 ? '' : `\n### What shows nothing, or does not hold\n\n${lines.join('\n')}\n`
}
