import { Client } from 'pg'
import { expect, it, onTestFinished } from 'vitest'
import type { Remnants } from '../../src/prove/remnants.ts'
import { type ProofOptions, runProof } from '../../src/prove/run.ts'
import { sessionsOf } from '../../src/prove/settings.ts'
import { startPostgres } from '../../src/testing.ts'
import { postgresDatabase } from '../setup/servers.ts'

/** Rejects as a proof does whose processes load this module first, and with what it left behind. */
async function proofWith(preload: string, more: Partial<ProofOptions> = {}): Promise<void> {
  const { url } = await postgresDatabase()
  await runProof({
    databaseUrl: url,
    server: null,
    disk: { missing: 'not asked for' },
    kafka: null,
    guarantees: ['at-least-once'],
    faults: ['kill'],
    seconds: 15,
    seed: 7,
    signal: new AbortController().signal,
    env: { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(preload)}` },
    onView: () => {},
    onLeftBehind: (what, error) => {
      throw new Error(`left behind: ${what}`, { cause: error })
    },
    ...more,
  })
}

it('a proof whose processes do not start says so, with what they said last', async () => {
  const proof = proofWith('console.error("no such module"); process.exit(3)')
  await expect(proof).rejects.toMatchObject({
    code: 'WB_PROOF_FAILED',
    message: expect.stringMatching(/ends by itself \(exit code 3\)[^]*no such module/u),
  })
})

it('a proof that is stopped while its processes start waits for none of them', async () => {
  const stop = new AbortController()
  const proof = proofWith('await new Promise(() => setInterval(() => {}, 60_000))', {
    signal: stop.signal,
    onView: ({ processes }) => {
      if (processes.some(({ pid }) => pid !== null)) stop.abort()
    },
  })
  await expect(proof).rejects.toMatchObject({ code: 'WB_ABORTED' })
})

it('a proof that is stopped while its own server is killed leaves nothing there to be removed', async () => {
  const stop = new AbortController()
  await using server = await startPostgres({ durable: false })
  const left: string[] = []
  let killing: Promise<void> | undefined
  const proof = proofWith('await new Promise(() => setInterval(() => {}, 60_000))', {
    databaseUrl: server.url,
    server,
    signal: stop.signal,
    onLeftBehind: (what) => left.push(what),
    onView: ({ processes }) => {
      if (!processes.some(({ pid }) => pid !== null)) return
      killing ??= server.kill().then(() => {
        stop.abort()
      })
    },
  })
  await expect(proof).rejects.toMatchObject({ code: 'WB_ABORTED' })
  expect([await killing, server.isRunning(), left]).toEqual([undefined, false, []])
})

it('a proof tells of schemas that killed ones have left, and of none whose processes live', async () => {
  const { url } = await postgresDatabase()
  const [dead, alive] = ['waybill_prove_0000dead', 'waybill_prove_00a11fe0']
  const client = new Client({ connectionString: url, application_name: sessionsOf({ id: alive }, 'office') })
  await client.connect()
  onTestFinished(() => client.end())
  for (const name of [dead, `${dead}_load`, alive, `${alive}_load`, 'waybill_prove_mine'])
    await client.query(`create schema ${name}`)
  const stop = new AbortController()
  const told: unknown[] = []
  const onRemnants = (remnants: Remnants): void => {
    told.push(remnants)
    stop.abort()
  }
  const proof = proofWith('', { databaseUrl: url, signal: stop.signal, onRemnants })
  await expect(proof).rejects.toMatchObject({ code: 'WB_ABORTED' })
  expect(told).toEqual([{ schemas: [dead, `${dead}_load`], runs: [] }])
})
