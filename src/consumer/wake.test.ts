import { describe, expect, it } from 'vitest'
import { systemClock, type Clock } from '../kernel/clock.ts'
import { Wake } from './wake.ts'

const never = new AbortController().signal
const asleep: Clock = { now: () => 0, sleep: (_ms, signal) => systemClock.sleep(2 ** 30, signal) }

describe('a wake flag', () => {
  it('ends a wait that is under way', async () => {
    const wake = new Wake(asleep)
    const waited = wake.wait(Infinity, never)
    wake.set()
    await waited
  })

  it('that was set before the wait is not lost, and counts once', async () => {
    const slept: number[] = []
    const wake = new Wake({ now: () => 0, sleep: async (ms) => void slept.push(ms) })
    wake.set()
    wake.set()
    await wake.wait(10, never)
    expect(slept).toEqual([])
    await wake.wait(10, never)
    expect(slept).toEqual([10])
  })

  it('ends its wait when the signal aborts, at once where it has already', async () => {
    const wake = new Wake(asleep)
    const stop = new AbortController()
    const waited = wake.wait(Infinity, stop.signal)
    stop.abort()
    await waited
    await wake.wait(Infinity, stop.signal)
  })
})
