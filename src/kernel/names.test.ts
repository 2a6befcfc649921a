import { describe, expect, it } from 'vitest'
import { isName } from './names.ts'

describe('isName', () => {
  it('takes what defineChannel takes', () => {
    expect(['orders.placed', 'a-b_c', '7'].every((name) => isName(name))).toBe(true)
    expect(['', '.', '..', 'a b', 'x'.repeat(201)].some((name) => isName(name))).toBe(false)
  })
})
