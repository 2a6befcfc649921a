import { execFileSync, spawn } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { findPostgres } from '../src/testing/postgres-binaries.ts'
import { markedPage } from './docs/marked.ts'
import type { ProofReport } from '../src/prove/report.ts'
import { type ProofRun, transports, withRuns } from './proof/runs.ts'
import { seenSection } from './proof/seen.ts'
import { root } from './root.ts'

// Every guarantee, over each transport, under every fault there is, again and again for half an hour each, so that it also tells
// whether memory grows: an hour. Less is for trying it out, and `--only` plays one half again.
const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '1' },
    only: { type: 'string' },
    local: { type: 'string', default: '1800' },
    kafka: { type: 'string', default: '1800' },
  },
})
const { only } = values
if (only !== undefined && !transports.some((transport) => transport === only))
  throw new Error(`--only takes ${transports.join(' or ')}, and is "${only}".`)

const page = 'docs/proof.md'
const measured = join(root, 'docs', 'proof-measured.json')
const seeds = values.seeds.split(',').map(Number)
const on = await surroundings()
const before = JSON.parse(readFileSync(measured, 'utf8')) as readonly ProofRun[]
const played: ProofRun[] = []
for (const transport of transports.filter((each) => only === undefined || each === only)) {
  for (const seed of seeds) {
    played.push(await play(transport, seed))
    // After each: what was played is worth half an hour.
    const runs = withRuns(before, played)
    writeFileSync(measured, `${JSON.stringify(runs, null, 1)}\n`)
    writeFileSync(
      join(root, page),
      markedPage(page, 'The runs', seenSection(runs), undefined, 'npm run prove:full'),
    )
  }
}
for (const { transport, seed, verdict } of played) console.log(`${transport}, seed ${seed}: ${verdict}`)
process.exitCode = played.every(({ verdict }) => verdict === 'valid') ? 0 : 1

async function play(transport: ProofRun['transport'], seed: number): Promise<ProofRun> {
  const seconds = Number(values[transport])
  const flags = ['--transport', transport, '--seed', String(seed), '--seconds', String(seconds)]
  console.log(`\n── waybill prove ${flags.join(' ')}`)
  const startedAt = performance.now()
  const child = spawn(process.execPath, [join(root, 'src', 'cli', 'main.ts'), 'prove', ...flags, '--json'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let told = ''
  child.stdout.on('data', (chunk: Buffer) => {
    told += chunk.toString()
  })
  await new Promise((resolve) => {
    child.once('close', resolve)
  })
  const report = JSON.parse(told) as Partial<ProofReport>
  const { verdict, rows, logs, memory } = report
  if (verdict === undefined || rows === undefined || logs === undefined || memory === undefined)
    throw new Error(`It came to no verdict: ${told}`)
  const tookSeconds = (performance.now() - startedAt) / 1000
  const date = new Date().toISOString().slice(0, 10)
  return { transport, seed, date, on, seconds, tookSeconds, verdict, rows, logs, memory }
}

async function surroundings(): Promise<string> {
  const { postgres } = await findPostgres()
  const postgresVersion = execFileSync(postgres, ['--version'], { encoding: 'utf8' })
    .replace(/^\D+/u, '')
    .trim()
  const pom = readFileSync(join(root, 'servers', 'kafka', 'pom.xml'), 'utf8')
  const kafkaVersion = /<kafka\.version>(.+)<\/kafka\.version>/u.exec(pom)?.[1]
  const machine = `${process.platform} ${process.arch}, ${availableParallelism()} cores`
  return `Node ${process.versions.node}, PostgreSQL ${postgresVersion}, Kafka ${kafkaVersion}, ${machine}`
}
