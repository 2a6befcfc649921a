import { describe, expect, it } from 'vitest'
import { ByHand, confirmed, lease, refused, refusedForGood, row } from '../../../test/model/by-hand.ts'

describe('a key with more rows than may wait in memory', () => {
  it('drops what is too much, reads on past it, and reads below it when its queue has run out', () => {
    const hand = new ByHand({ maxKeyBacklog: 2, maxSends: 1, batchSize: 1 })
    hand.read([row(1, 'other'), row(2, 'a'), row(3, 'a'), row(4, 'a'), row(5, 'a'), row(6, 'b')])
    expect(hand.floor()).toBe(6n)
    expect([1, 2, 3].flatMap(() => hand.send(confirmed))).toEqual(['m1', 'm2', 'm6'])
    hand.read()
    expect(hand.floor()).toBe(3n)
    hand.read([row(4, 'a'), row(5, 'a'), row(6, 'b')])
    expect([1, 2, 3].flatMap(() => hand.send(confirmed))).toEqual(['m3', 'm4', 'm5'])
  })

  it('takes nothing of the key from a read that began before', () => {
    const hand = new ByHand({ maxKeyBacklog: 1, maxSends: 1, batchSize: 1 })
    hand.read([row(1, 'other'), row(2, 'a'), row(3, 'a')])
    expect(hand.send(confirmed)).toEqual(['m1'])
    hand.read([row(4, 'a')])
    expect(hand.send(confirmed)).toEqual(['m2'])
    expect(hand.has('send')).toBe(false)
    expect(hand.floor()).toBe(2n)
  })
})

describe('a key whose head failed', () => {
  it('forgets the followers, in the send and in the queue, until its line is there and a newer read is back', () => {
    const hand = new ByHand({ batchSize: 2 })
    hand.read([row(1, 'a'), row(2, 'a'), row(3, 'a'), row(4, 'b')])
    expect(hand.send(refused)).toEqual(['m1', 'm2'])
    expect(hand.mind.inMemory).toBe(2)
    // Began before the line: it brings followers still.
    hand.read([row(5, 'a')])
    expect(hand.write('block')).toEqual(['m1'])
    hand.read([row(6, 'a')])
    expect(hand.send(confirmed)).toEqual(['m4'])
    expect(hand.has('send')).toBe(false)
    // The line covers the key: nothing is read again.
    expect(hand.floor()).toBe(6n)
  })

  it('sends the retry alone, and its followers after the rewind that the line leaves', () => {
    const hand = new ByHand()
    hand.read([row(1, 'a'), row(2, 'a')])
    hand.send(refused)
    hand.write('block')
    hand.read()
    hand.read()
    hand.rest()
    hand.read([row(1, 'a', { origin: 'retry', attempts: 1 }), row(3, 'b')])
    expect([hand.send(confirmed), hand.send(confirmed)]).toEqual([['m1'], ['m3']])
    hand.remove()
    hand.read([], { rewind: 1n })
    expect(hand.floor()).toBe(0n)
    hand.read([row(2, 'a')], { rewind: 1n })
    expect(hand.send(confirmed)).toEqual(['m2'])
  })

  it('stays closed while its line is not written, and writes it again', () => {
    const hand = new ByHand()
    hand.read([row(1, 'a'), row(2, 'a')])
    hand.send(refused)
    hand.mind.writeFailed(hand.take('block').write, hand.now)
    hand.read([row(2, 'a')])
    expect(hand.has('send')).toBe(false)
    hand.rest()
    expect(hand.write('block')).toEqual(['m1'])
  })

  it('costs no other key its line where the store refuses its own for good', () => {
    const hand = new ByHand()
    hand.read([row(1, 'a'), row(2, 'b'), row(3, 'c')])
    hand.send(refused)
    const refuse = (): readonly string[] => {
      const { write, lines } = hand.take('block')
      hand.mind.writeFailed(write, hand.now)
      hand.rest()
      return lines.map(({ id }) => id)
    }
    expect(refuse()).toEqual(['m1', 'm2', 'm3'])
    // One by one, and what fails alone goes behind the others.
    expect(refuse()).toEqual(['m1'])
    expect(hand.write('block')).toEqual(['m2'])
    expect(refuse()).toEqual(['m3', 'm1'])
    expect(hand.write('block')).toEqual(['m3'])
    expect(refuse()).toEqual(['m1'])
    expect(hand.write('block')).toEqual(['m1'])
  })

  it('reads below the followers where the head was gone: no line covers them', () => {
    const hand = new ByHand()
    hand.read([row(1, 'a'), row(2, 'a')])
    hand.send(refused)
    hand.write('block', 'gone')
    hand.read()
    expect(hand.floor()).toBe(0n)
    hand.read([row(2, 'a')])
    expect(hand.send(confirmed)).toEqual(['m2'])
  })

  it('gives the partition up where the epoch does not hold', () => {
    const hand = new ByHand()
    hand.read([row(1, 'a'), row(2, 'b')])
    hand.send(refused, confirmed)
    hand.write('block', 'fenced')
    expect(hand.take('fenced').partitions).toEqual([lease])
    expect(hand.mind.held).toEqual([])
    expect(hand.mind.inMemory).toBe(0)
  })

  it('reads below a follower with a lower number, which came back while the head was under way', () => {
    const hand = new ByHand()
    hand.read([row(4, 'a')])
    hand.read([row(1, 'a')], { rewind: 1n, server: 'promoted' })
    hand.read([row(1, 'a')], { server: 'promoted' })
    hand.send(refused)
    hand.write('block', 'gone')
    hand.read([], { server: 'promoted' })
    expect(hand.floor()).toBe(0n)
  })

  it('counts attempts, and gives the message up after the last', () => {
    const hand = new ByHand()
    hand.read([row(1, 'a', { origin: 'retry', attempts: 1 })])
    hand.send(refused)
    expect(hand.take('block').lines[0]!.attempts).toBe(2)
    const last = new ByHand()
    last.read([row(1, 'a', { origin: 'retry', attempts: 2 })])
    last.send(refused)
    expect(last.take('bury').letters[0]).toMatchObject({ attempts: 3, reason: 'attempts-exhausted' })
  })

  it('gives a message up at once that can never pass', () => {
    const hand = new ByHand()
    hand.read([row(1, 'a')])
    hand.send(refusedForGood)
    expect(hand.take('bury').letters[0]).toMatchObject({ attempts: 1, reason: 'rejected' })
  })
})

describe('a line that is answered late', () => {
  it('reads the key again where an operator took the line away before its answer came', () => {
    const hand = new ByHand()
    hand.read([row(1, 'a'), row(2, 'a')])
    hand.send(refused)
    // The line is written and taken away; the rewind is read, and then the rows, which are passed by.
    hand.read([], { rewind: 1n })
    hand.read([row(1, 'a'), row(2, 'a')], { rewind: 1n })
    expect(hand.floor()).toBe(2n)
    hand.write('block')
    hand.read([], { rewind: 1n })
    expect(hand.floor()).toBe(0n)
    hand.read([row(1, 'a'), row(2, 'a')], { rewind: 1n })
    expect(hand.send(confirmed)).toEqual(['m1', 'm2'])
  })

  it('reads the followers of a dead letter again where its rewind was read before its answer came', () => {
    const hand = new ByHand()
    hand.read([row(1, 'a'), row(2, 'a')])
    hand.send(refusedForGood)
    hand.read([], { rewind: 1n })
    hand.read([row(2, 'a')], { rewind: 1n })
    hand.write('bury')
    hand.read([], { rewind: 1n })
    expect(hand.floor()).toBe(0n)
    hand.read([row(2, 'a')], { rewind: 1n })
    expect(hand.send(confirmed)).toEqual(['m2'])
  })

  it('reads a row without a key again, which has no key to open', () => {
    const hand = new ByHand()
    hand.read([row(1, null), row(2, null)])
    hand.send(refused, confirmed)
    hand.remove()
    hand.read([], { rewind: 1n })
    hand.read([row(1, null)], { rewind: 1n })
    hand.write('block')
    hand.read([row(3, null)], { rewind: 1n })
    expect(hand.floor()).toBe(0n)
    hand.read([row(1, null), row(3, null)], { rewind: 1n })
    expect([hand.send(confirmed), hand.send(confirmed)]).toEqual([['m3'], ['m1']])
  })

  it('reads the key again where the line was written on a server that is not read any more', () => {
    const hand = new ByHand()
    hand.read([row(1, 'a'), row(2, 'a')])
    hand.send(refused)
    hand.read([], { server: 'promoted' })
    hand.read([row(1, 'a'), row(2, 'a')], { server: 'promoted' })
    hand.write('block')
    hand.read([], { server: 'promoted' })
    expect(hand.floor()).toBe(0n)
    hand.read([row(1, 'a'), row(2, 'a')], { server: 'promoted' })
    expect(hand.send(confirmed)).toEqual(['m1', 'm2'])
  })

  it('sees the line taken away also right after the server changed', () => {
    const hand = new ByHand()
    hand.read([row(1, null)])
    hand.read([], { server: 'promoted' })
    hand.send(refused)
    // The line is written and taken away again before the next read is evaluated.
    hand.write('block')
    hand.read([row(1, null)], { server: 'promoted', rewind: 1n })
    hand.read([row(1, null)], { server: 'promoted', rewind: 1n })
    expect(hand.send(confirmed)).toEqual(['m1'])
  })
})
