import { describe, expect, it } from 'vitest'
import { missingLine } from './output.ts'

describe('missingLine', () => {
  it('finds every line, in order, whatever stands between', () => {
    expect(missingLine('a\nc\n', 'a\nb\nc\n')).toBeNull()
    expect(missingLine('c\na\n', 'a\nb\nc\n')).toBe('a')
  })

  it('takes an ellipsis for what differs from run to run', () => {
    expect(
      missingLine('order … shipped in … ms\n…\ndone', 'order 17 shipped in 3.2 ms\nmore\ndone\n'),
    ).toBeNull()
    expect(missingLine('order … shipped', 'order 17 lost')).toBe('order … shipped')
  })

  it('takes every other character as it is', () => {
    expect(missingLine('a.c (1)', 'abc (1)')).toBe('a.c (1)')
    expect(missingLine('a.c (1)', 'a.c (1)')).toBeNull()
  })

  it('wants a line of its own for each line', () => {
    expect(missingLine('a\na\n', 'a\n')).toBe('a')
  })
})
