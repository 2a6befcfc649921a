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

  it('goes on where it was, while requests of the producer before are tried again', () => {
    const sequences = new Sequences()
    expect(sequences.first('1/0', 't/0', first, 10)).toBe(0)
    expect(sequences.first('2/0', 't/0', second, 5)).toBe(0)
    expect(sequences.first('1/0', 't/1', third, 1)).toBe(0)
    expect(sequences.first('2/0', 't/0', Buffer.from('d'), 1)).toBe(5)
  })

  it('forgets producers that have gone long since', () => {
    const sequences = new Sequences()
    for (let producer = 0; producer < 9; producer++)
      sequences.first(`${producer}/0`, 't/0', Buffer.from('a'), 1)
    expect(sequences.first('8/0', 't/0', Buffer.from('b'), 1)).toBe(1)
    expect(sequences.first('0/0', 't/0', Buffer.from('b'), 1)).toBe(0)
  })

  it('begins anew after 2^31 records, as the broker counts', () => {
    const sequences = new Sequences()
    sequences.first('1/0', 't/0', first, 0x7fffffff)
    expect(sequences.first('1/0', 't/0', second, 2)).toBe(0x7fffffff)
    expect(sequences.first('1/0', 't/0', third, 1)).toBe(1)
  })
})
