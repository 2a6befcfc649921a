import { describe, expect, it } from 'vitest'
import { Sequences } from './sequences.ts'

const [first, second, third] = [Buffer.from('a'), Buffer.from('b'), Buffer.from('c')]

describe('the sequence number of a batch', () => {
  it('counts the records of its partition before it', () => {
    const sequences = new Sequences()
    expect(sequences.first('1/0', 't/0', first, 10)).toBe(0)
    expect(sequences.first('1/0', 't/1', second, 5)).toBe(0)
    expect(sequences.first('1/0', 't/0', third, 1)).toBe(10)
  })

  it('is the old one when the batch is sent again, so that the broker knows the copy', () => {
    const sequences = new Sequences()
    for (const _ of ['once', 'again']) {
      expect(sequences.first('1/0', 't/0', first, 10)).toBe(0)
      expect(sequences.first('1/0', 't/0', second, 10)).toBe(10)
    }
    expect(sequences.first('1/0', 't/0', third, 10)).toBe(20)
  })

  it('begins anew under another producer id or epoch, for a batch that was sent before too', () => {
    const sequences = new Sequences()
    sequences.first('1/0', 't/0', first, 10)
    sequences.first('1/0', 't/0', second, 10)
    expect(sequences.first('1/1', 't/0', second, 10)).toBe(0)
    expect(sequences.first('2/0', 't/0', second, 10)).toBe(0)
    expect(sequences.first('2/0', 't/0', third, 10)).toBe(10)
  })

  it('begins anew after 2^31 records, as the broker counts', () => {
    const sequences = new Sequences()
    sequences.first('1/0', 't/0', first, 0x7fffffff)
    expect(sequences.first('1/0', 't/0', second, 2)).toBe(0x7fffffff)
    expect(sequences.first('1/0', 't/0', third, 1)).toBe(1)
  })
})
