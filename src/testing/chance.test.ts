import { describe, expect, it } from 'vitest'
import { chanceOf, drawer } from './chance.ts'

describe('chance', () => {
  it('repeats itself for a seed, and differs for another', () => {
    const take = (seed: number): number[] => Array.from({ length: 20 }, chanceOf(seed))
    expect(take(7)).toEqual(take(7))
    expect(take(7)).not.toEqual(take(8))
  })

  it('stays within 0 and 1, and is spread evenly', () => {
    const numbers = Array.from({ length: 10_000 }, chanceOf(1))
    expect(Math.min(...numbers)).toBeGreaterThanOrEqual(0)
    expect(Math.max(...numbers)).toBeLessThan(1)
    const mean = numbers.reduce((sum, one) => sum + one, 0) / numbers.length
    expect(mean).toBeGreaterThan(0.47)
    expect(mean).toBeLessThan(0.53)
  })
})

describe('drawer', () => {
  it('draws each once before it draws one again, in an order left to chance', () => {
    const draw = drawer(['a', 'b', 'c'], chanceOf(3))
    const rounds = Array.from({ length: 50 }, () => [draw(), draw(), draw()])
    for (const round of rounds) expect(round.toSorted()).toEqual(['a', 'b', 'c'])
    expect(new Set(rounds.map((round) => round.join(''))).size).toBe(6)
  })
})
