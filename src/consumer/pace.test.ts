import { describe, expect, it } from 'vitest'
import { Pace } from './pace.ts'

describe('the size of a transaction', () => {
  it('is small before anything is known, and no more than is wanted', () => {
    expect(new Pace(100).fits(10_000)).toBe(8)
    expect(new Pace(3).fits(10_000)).toBe(3)
  })

  it('is what takes half a second, by what the last one took', () => {
    const pace = new Pace(100)
    pace.took(8, 400)
    expect(pace.fits(10_000)).toBe(10)
    pace.took(10, 5000)
    expect(pace.fits(10_000)).toBe(1)
    pace.took(1, 0.1)
    expect(pace.fits(10_000)).toBe(100)
  })

  it('is what fits into half of the time that is left; nothing, where that is not enough for one', () => {
    const pace = new Pace(100)
    pace.took(1, 100)
    expect(pace.fits(600)).toBe(3)
    expect(pace.fits(150)).toBe(0)
    expect(pace.fitsFirst(150)).toBe(1)
  })

  it('is none where the time is over: a negative one has a consumer turn in circles, and nothing else has its turn', () => {
    const pace = new Pace(100)
    expect(pace.fits(-1)).toBe(0)
    pace.took(1, 25)
    expect(pace.fits(0)).toBe(0)
    expect(pace.fits(-1000)).toBe(0)
    expect(pace.fitsFirst(-1000)).toBe(1)
  })

  it('is at most half where one was cut off, down to one', () => {
    const pace = new Pace(100)
    const sizes: number[] = []
    for (let size = 64; sizes.length < 6; size = pace.fitsFirst(1000)) {
      sizes.push(size)
      pace.wasCut(size, 1000)
    }
    for (const [i, size] of sizes.slice(1).entries())
      expect(size).toBeLessThanOrEqual(Math.max(1, sizes[i]! / 2))
    expect(sizes.at(-1)).toBe(1)
  })
})
