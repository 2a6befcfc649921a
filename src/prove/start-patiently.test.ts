import { expect, test } from 'vitest'
import { WaybillError } from '../kernel/errors.ts'
import { startPatiently } from './start-patiently.ts'

function failing(times: number, error: Error): () => Promise<void> {
  let left = times
  return async () => {
    if (left-- > 0) throw error
  }
}

function clock(): { now(): number; sleep(ms: number): Promise<void> } {
  let time = 0
  return {
    now: () => time,
    sleep: async (ms) => {
      time += ms
    },
  }
}

const slow = new WaybillError('WB_TIMED_OUT', 'PostgreSQL did not answer within 2000 ms.', {
  retryable: 'unknown',
})

test('a start that fails for what may pass is tried again, for half a minute', async () => {
  await startPatiently(failing(100, slow), clock())
  await expect(startPatiently(failing(1000, slow), clock())).rejects.toBe(slow)
})

test('one that fails for what stays is not', async () => {
  for (const error of [new WaybillError('WB_INVALID_CONFIG', 'no'), new TypeError('no')])
    await expect(startPatiently(failing(1, error), clock())).rejects.toBe(error)
})
