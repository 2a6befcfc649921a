import { fileURLToPath } from 'node:url'
import { type Child, spawnChild } from '../../src/testing/child.ts'
import { fill, mustBeEmpty, settle } from '../fill.ts'
import { median, type Readings } from '../measure.ts'
import type { Drain, DrainAnswer } from '../backlog-worker.ts'
import type { Environment, Runs } from './environment.ts'
import { channelName } from './outbox.ts'

const messages = 1_000_000
const edge = 100_000
const warmUp = 20_000

/**
 * A relay alone in a process drains a million rows: is the last tenth as fast as the first, and what memory does it take? The rows are
 * filled in from here. A small drain comes first, so that the first tenth does not pay for what compilers learn.
 */
export const backlogRuns: Runs = {
  'relay, 1M rows': async (environment) => {
    const script = fileURLToPath(new URL('../backlog-worker.ts', import.meta.url))
    await using child = spawnChild({ script, args: [environment.url], ipc: true })
    await child.waitForMessage((message) => message === 'ready')
    await drain(environment, child, environment.sized(warmUp), [])
    const count = environment.sized(messages)
    const part = environment.sized(edge)
    const answer = await drain(environment, child, count, [part, count - part, count])
    const [first, middle, last] = answer.marks
    if (first === undefined || middle === undefined || last === undefined)
      throw new Error(`the relay passed ${answer.marks.length} of 3 marks`)
    const firstRate = first.removed / first.atMs
    const lastRate = (last.removed - middle.removed) / (last.atMs - middle.atMs)
    return { rate: answer.rate, 'last to first': lastRate / firstRate, ...memoryOf(answer.rssBytes) }
  },
}

async function drain(
  { pool }: Environment,
  child: Child,
  rows: number,
  marks: readonly number[],
): Promise<DrainAnswer> {
  await fill(pool, { channel: channelName, messages: rows, keys: 10_000 })
  await settle(pool, 'waybill.outbox')
  child.send({ rows, marks } satisfies Drain)
  const answer = await child.waitForMessage<DrainAnswer>((message) => message.rows === rows, 300_000)
  await mustBeEmpty(pool, 'waybill.outbox')
  return answer
}

function memoryOf(rssBytes: readonly number[]): Readings {
  if (rssBytes.length < 9) throw new Error(`memory was looked at ${rssBytes.length} times only`)
  const third = Math.floor(rssBytes.length / 3)
  return {
    'memory, MB': Math.max(...rssBytes) / 1e6,
    'last third of memory to first': median(rssBytes.slice(-third)) / median(rssBytes.slice(0, third)),
  }
}
