import { setTimeout as pause } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { noticeSlow, noticeStalls, stallMark, stallsOf } from './stalls.ts'

test('a process that got no turn tells so as soon as it has one, and one that had its turns does not', async () => {
  const told: number[] = []
  using _noticing = noticeStalls((ms) => told.push(ms))
  await pause(250)
  expect(told).toEqual([])
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1000)
  await pause(250)
  expect(told).toHaveLength(1)
  expect(told[0]).toBeGreaterThan(800)
})

test('a server that was slow to answer is told of, whatever became of the look at it', async () => {
  const told: number[] = []
  let time = 0
  const look = (ms: number, fails = false): Promise<void> =>
    noticeSlow(
      async () => {
        time += ms
        if (fails) throw new Error('it does not answer')
      },
      (took) => told.push(took),
      () => time,
    )
  await look(700)
  await look(900)
  await look(2000, true)
  expect(told).toEqual([900, 2000])
})

test('it is read back from what was noted', () => {
  const event = { process: 'p', type: 'info', f: 'fault', seq: null, id: null, t: 5_000_000 } as const
  const history = [
    { ...event, key: stallMark, value: 1500 },
    { ...event, key: 'kill writer' },
  ]
  expect(stallsOf(history)).toEqual([{ from: 3_500_000, to: 5_000_000, process: 'p' }])
})
