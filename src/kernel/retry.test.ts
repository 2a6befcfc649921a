import fc from 'fast-check'
import { expect, it } from 'vitest'
import { backoffMs } from './retry.ts'

const backoff = fc
  .record({ initialMs: fc.integer({ min: 1, max: 60_000 }), more: fc.integer({ min: 0, max: 86_400_000 }) })
  .map(({ initialMs, more }) => ({ initialMs, maxMs: initialMs + more }))

it('pauses for a time between half and all of its ceiling, whatever the count of failures (O3)', () => {
  fc.assert(
    fc.property(
      backoff,
      fc.integer({ min: -1, max: Number.MAX_SAFE_INTEGER }),
      fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
      (limits, failures, chance) => {
        const pause = backoffMs(failures, limits, () => chance)
        expect(Number.isInteger(pause)).toBe(true)
        expect(pause).toBeGreaterThanOrEqual(Math.floor(limits.initialMs / 2))
        expect(pause).toBeLessThanOrEqual(limits.maxMs)
      },
    ),
  )
})

it('doubles from the first failure on until it has reached the most', () => {
  const all = Array.from({ length: 8 }, (_, i) => backoffMs(i + 1, { initialMs: 100, maxMs: 5000 }, () => 1))
  expect(all).toEqual([100, 200, 400, 800, 1600, 3200, 5000, 5000])
})

it('takes half of the pause by chance, so that what failed together is not tried together', () => {
  const at = (chance: number): number => backoffMs(3, { initialMs: 100, maxMs: 5000 }, () => chance)
  expect([at(0), at(0.5), at(1)]).toEqual([200, 300, 400])
})
