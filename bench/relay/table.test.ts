import { describe, expect, it } from 'vitest'
import { plans } from './table.ts'

describe('the plans of the relay bench', () => {
  it('end within twelve minutes, a minute of them for what runs over', () => {
    const seconds = plans.reduce((sum, plan) => sum + plan.seconds, 0)
    expect(seconds).toBeGreaterThan(300)
    expect(seconds).toBeLessThanOrEqual(660)
  })

  it('ask only for readings of contenders that they have', () => {
    for (const { contenders, rows } of plans) {
      for (const { of, against } of rows) {
        expect(contenders).toContain(of.contender)
        if (against !== undefined) expect(contenders).toContain(against.contender)
      }
    }
  })

  it('aim at more than their bars ask for', () => {
    const judged = plans.flatMap(({ rows }) => rows).filter(({ bar }) => bar !== null)
    expect(judged.length).toBeGreaterThanOrEqual(18)
    for (const { name, bar, aim, better = 'higher' } of judged) {
      if (aim !== null) expect((aim - bar!) * (better === 'higher' ? 1 : -1), name).toBeGreaterThan(0)
    }
  })
})
