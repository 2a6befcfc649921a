import { describe, expect, it } from 'vitest'
import { type Contender, type Figure, isBelowBar, measure, ratio } from './measure.ts'

const silent = (): void => {}

/** Answers with these readings in turn, and notes in `order` that it was asked. */
function contender(name: string, readings: readonly number[], order: string[] = []): Contender {
  const left = [...readings]
  return {
    name,
    run: async () => {
      order.push(name)
      return { rate: left.shift()! }
    },
  }
}

async function ratioOf(own: readonly number[], other: readonly number[]): Promise<Figure> {
  const rows = [ratio('a / b', 'a', 'b', 0.5, 1)]
  const contenders = [contender('a', own), contender('b', other)]
  const [figure] = await measure({ name: 'test', contenders, rows, rounds: own.length - 1 }, silent)
  return figure!
}

describe('measure', () => {
  it('gives the ratio of the medians, without the round that warms up', async () => {
    const figure = await ratioOf([9999, 10, 30, 20], [1, 40, 40, 10])
    expect(figure.value).toBe(0.5)
    expect(figure.runs).toEqual([0.25, 0.75, 2])
  })

  it('lets each contender go first in turn', async () => {
    const order: string[] = []
    const contenders = ['a', 'b', 'c'].map((name) => contender(name, [1, 1, 1], order))
    await measure({ name: 'test', contenders, rows: [], rounds: 2 }, silent)
    expect(order.join('')).toBe('abcbcacab')
  })

  it('adds the rate of each contender to its rows', async () => {
    const contenders = [contender('a', [1, 10, 20, 60])]
    const figures = await measure({ name: 'test', contenders, rows: [], rounds: 3 }, silent)
    expect(figures).toMatchObject([{ name: 'test: a', value: 20, unit: '1/s', bar: null }])
  })

  it('takes the highest of the rounds where a row says so', async () => {
    const of = { contender: 'a', by: 'highest' } as const
    const row = { name: 'highest', of, unit: 'MB', bar: 50, aim: null, better: 'lower' } as const
    const contenders = [contender('a', [99, 1, 60, 2])]
    const [figure] = await measure({ name: 'test', contenders, rows: [row], rounds: 3 }, silent)
    expect(figure?.value).toBe(60)
    expect(isBelowBar(figure!)).toBe(true)
  })

  it('says why a row was not measured, asks no more, and fails no bar with it', async () => {
    let asked = 0
    const missing: Contender = {
      name: 'b',
      run: async () => {
        asked += 1
        return 'b is missing'
      },
    }
    const rows = [ratio('a / b', 'a', 'b', 0.5, 1)]
    const contenders = [contender('a', [1, 1, 1]), missing]
    const [figure] = await measure({ name: 'test', contenders, rows, rounds: 2 }, silent)
    expect(figure).toMatchObject({ value: null, note: 'b is missing', runs: [] })
    expect(isBelowBar(figure!)).toBe(false)
    expect(asked).toBe(1)
  })

  it('does not take a reading that is not there for a passed bar', async () => {
    const rows = [{ ...ratio('a', 'a', 'b', 1, 1), of: { contender: 'a', reading: 'memory' } }]
    const contenders = [contender('a', [1, 1]), contender('b', [1, 1])]
    await expect(measure({ name: 'test', contenders, rows, rounds: 1 }, silent)).rejects.toThrow(
      'nothing was measured for "a"',
    )
  })

  it('begins no further round past its limit, but has one at least', async () => {
    const told: string[] = []
    const contenders = [contender('a', [1, 2, 3, 4])]
    const group = { name: 'test', contenders, rows: [], rounds: 3, limitMs: -1 }
    const [figure] = await measure(group, (line) => told.push(line))
    expect(figure?.runs).toEqual([2])
    expect(told.at(-1)).toBe('test: over its time; 1 of 3 rounds have to do')
  })
})

describe('isBelowBar', () => {
  it.each([
    ['higher', 0.5, false],
    ['higher', 0.49, true],
    ['lower', 0.5, false],
    ['lower', 0.51, true],
  ] as const)('where %s is better, judges %d by a bar of 0.5', async (better, value, expected) => {
    const figure = await ratioOf([1, value], [1, 1])
    expect(isBelowBar({ ...figure, better })).toBe(expected)
  })
})
