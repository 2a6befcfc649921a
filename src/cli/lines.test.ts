import { describe, expect, it } from 'vitest'
import { cut, point, wrap } from './lines.ts'

describe('wrap', () => {
  it('breaks between words, and leaves a word that is too long whole', () => {
    expect(wrap('one two  three\nfour', 9)).toEqual(['one two', 'three', 'four'])
    expect(wrap('a incomprehensible b', 5)).toEqual(['a', 'incomprehensible', 'b'])
    expect(wrap('', 5)).toEqual([])
    expect(wrap('exactly 1', 9)).toEqual(['exactly 1'])
  })
})

describe('point', () => {
  it('stands under its mark', () => {
    expect(point('word '.repeat(20), 80).map((line) => line.slice(0, 8))).toEqual(['  · word', '    word'])
  })
})

describe('cut', () => {
  it('says where it cut', () => {
    expect([cut('shipping', 8), cut('shipping', 7)]).toEqual(['shipping', 'shippi…'])
  })
})
