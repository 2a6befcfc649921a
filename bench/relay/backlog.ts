import { spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { spawnChild } from '../../src/testing/child.ts'
import { fill, mustBeEmpty, settle } from '../fill.ts'
import { median, type Readings } from '../measure.ts'
import type { Drain, DrainAnswer } from '../backlog-worker.ts'
import type { Runs } from './environment.ts'
import { channelName, openOutbox } from './outbox.ts'

const messages = 1_000_000
const edge = 100_000
const warmUp = 20_000

const root = fileURLToPath(new URL('../../', import.meta.url))

/**
 * `waybill relay`, built as it is published, drains a million rows, each of a key of its own: is the last tenth as fast as the first, and what memory does it take?
 * From sources the process would have the compiler of their types in memory too. The first tenth begins behind a few thousand rows, so
 * that it does not pay for what compilers learn.
 */
export const backlogRuns: Runs = {
  'relay, 1M rows': async (environment) => {
    const { pool, url } = environment
    const count = environment.sized(messages)
    const part = environment.sized(edge)
    const start = environment.sized(warmUp)
    // Migrates, and leaves no rows.
    await using outbox = await openOutbox(environment, { relay: false })
    await outbox.waybill.stop()
    await fill(pool, { channel: channelName, messages: count, keys: messages })
    await settle(pool, 'waybill.outbox')
    const built = build()
    try {
      const drain: Drain = { url, rows: count, marks: [start, start + part, count - part, count] }
      await using child = spawnChild({
        script: `${built}/src/cli/main.js`,
        args: ['relay', '--config', `${built}/bench/backlog-worker.js`],
        env: { WAYBILL_BENCH_DRAIN: JSON.stringify(drain) },
        ipc: true,
      })
      const answer = await child.waitForMessage<DrainAnswer>((message) => message.rows === count, 300_000)
      await mustBeEmpty(pool, 'waybill.outbox')
      return { rate: answer.rate, 'last to first': lastToFirst(answer), ...memoryOf(answer.rssBytes) }
    } finally {
      rmSync(built, { recursive: true, force: true })
    }
  },
}

/** Beside the repository's own modules, which it imports. */
function build(): string {
  mkdirSync(`${root}.cache`, { recursive: true })
  const folder = mkdtempSync(`${root}.cache/bench-`)
  const tsc = `${root}node_modules/typescript/bin/tsc`
  const args = [tsc, '-p', `${root}tsconfig.bench.json`, '--outDir', folder]
  const { status } = spawnSync(process.execPath, args, { stdio: ['ignore', 2, 2] })
  if (status !== 0) throw new Error('the relay could not be built')
  cpSync(`${root}package.json`, `${folder}/package.json`)
  return folder
}

function lastToFirst({ marks }: DrainAnswer): number {
  const [start, first, middle, last] = marks
  if (start === undefined || first === undefined || middle === undefined || last === undefined)
    throw new Error(`the relay passed ${marks.length} of 4 marks`)
  const firstRate = (first.removed - start.removed) / (first.atMs - start.atMs)
  return (last.removed - middle.removed) / (last.atMs - middle.atMs) / firstRate
}

function memoryOf(rssBytes: readonly number[]): Readings {
  if (rssBytes.length < 9) throw new Error(`memory was looked at ${rssBytes.length} times only`)
  const third = Math.floor(rssBytes.length / 3)
  return {
    'memory, MB': Math.max(...rssBytes) / 1e6,
    'last third of memory to first': median(rssBytes.slice(-third)) / median(rssBytes.slice(0, third)),
  }
}
