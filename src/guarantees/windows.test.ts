import { describe, expect, it } from 'vitest'
import { windowFacts } from '../../test/fakes/facts.ts'
import { durationText } from './duration.ts'
import { retrySpanMs } from './windows.ts'

describe('retrySpanMs', () => {
  const span = (maxAttempts: number, attemptMs = 0): number =>
    retrySpanMs(windowFacts({ retryInitialMs: 200, retryMaxMs: 1000 }), maxAttempts, attemptMs)

  it('is the pauses between the attempts at their longest, and the attempts themselves', () => {
    expect([1, 2, 3, 4, 5, 6].map((attempts) => span(attempts))).toEqual([0, 200, 600, 1400, 2400, 3400])
    expect(span(3, 10)).toBe(630)
  })

  it('is total for any count', () => {
    expect(span(1_000_000, 5000)).toBe(200 + 400 + 800 + 999_996 * 1000 + 5_000_000_000)
    const never = windowFacts({ retryInitialMs: 5000, retryMaxMs: 1000 })
    expect(retrySpanMs(never, 3, 0)).toBe(2000)
  })
})

describe('durationText', () => {
  it.each([
    [0, '0 s'],
    [5, '5 ms'],
    [999, '999 ms'],
    [1000, '1 s'],
    [2500, '2.5 s'],
    [59_999, '59.999 s'],
    [60_500, '1 min'],
    [102_200, '1 min 42 s'],
    [300_000, '5 min'],
    [3_600_000, '1 h'],
    [90_000_000, '1 d 1 h'],
    [1_209_600_000, '14 d'],
  ])('says %i ms as %s', (ms, text) => {
    expect(durationText(ms)).toBe(text)
  })
})
