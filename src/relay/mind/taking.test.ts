import { describe, expect, it } from 'vitest'
import { ByHand, lease, row } from '../../../test/model/by-hand.ts'
import type { MindOptions } from './types.ts'

const dropped = { cause: 'not-sent', code: 'DOWN' } as const

function hands(options: Partial<MindOptions> = {}): ByHand {
  return new ByHand(options, 'take')
}

describe('at most once', () => {
  it('sends nothing before its delete is acknowledged, then once, then says what was lost', () => {
    const hand = hands()
    hand.read([row(1, 'a'), row(2, 'b')])
    expect(hand.has('dispatch')).toBe(false)
    expect(hand.takes()).toEqual(['m1', 'm2'])
    expect(hand.has('endTaken')).toBe(false)
    expect(hand.dispatches(null, dropped)).toEqual(['m1', 'm2'])
    expect(hand.ends()).toEqual([{ channel: 'orders', id: 'm2', ...dropped }])
    expect(hand.mind.counters).toMatchObject({ taken: 2, lost: 1, sent: 0 })
    hand.read()
    expect(hand.mind.isIdle).toBe(true)
    expect(hand.mind.inMemory).toBe(0)
    expect(hand.has('remove') || hand.has('block') || hand.has('take')).toBe(false)
  })

  it('names the epoch under which it takes', () => {
    const hand = hands()
    hand.read([row(1, 'a')])
    expect(hand.take('take').rows).toEqual([
      { partition: 0, seq: 1n, id: 'm1', channel: 'orders', epoch: lease.epoch },
    ])
  })

  it('has a key in one take or send at a time', () => {
    const hand = hands()
    hand.read([row(1, 'a')])
    hand.read([row(2, 'a')])
    expect(hand.takes()).toEqual(['m1'])
    expect(hand.has('take')).toBe(false)
    hand.dispatches()
    expect(hand.takes()).toEqual(['m2'])
  })

  it('keeps a key to one send where some of its rows were gone', () => {
    const hand = hands()
    hand.read([row(1, 'a'), row(2, 'a')])
    hand.takes('gone', 'taken')
    hand.read([row(3, 'a')])
    expect(hand.has('take')).toBe(false)
    expect(hand.dispatches()).toEqual(['m2'])
    expect(hand.takes()).toEqual(['m3'])
  })

  it('deletes what it has sent from a server that was asked in vain: it must not come again', () => {
    const hand = hands()
    hand.read([row(1, 'a')])
    hand.takes()
    hand.read([], { server: 'promoted' })
    hand.dispatches()
    hand.read([row(1, 'a')], { server: 'promoted' })
    expect(hand.has('take')).toBe(false)
    expect(hand.remove()).toEqual(['m1'])
    expect(hand.ends()).toEqual([])
  })

  it('never sends again what was not answered for', () => {
    const hand = hands()
    hand.read([row(1, 'a'), row(2, 'b')])
    hand.takes()
    const { take } = hand.take('dispatch')
    hand.mind.dispatched(take, [null], hand.now)
    hand.decide()
    expect(hand.ends()).toEqual([{ channel: 'orders', id: 'm2', cause: 'not-sent', code: 'NO_ANSWER' }])
    hand.read()
    expect(hand.has('take') || hand.has('dispatch')).toBe(false)
  })

  it('knows its rows until a read has returned that was issued after they were done with', () => {
    const hand = hands()
    hand.read([row(1, null)])
    hand.takes()
    hand.dispatches()
    hand.read([row(1, null)])
    expect(hand.has('take')).toBe(false)
  })

  it('takes again, after a pause, where the answer of the first take was lost; what is gone is not sent', () => {
    const hand = hands()
    hand.read([row(1, 'a'), row(2, 'b')])
    hand.mind.takeFailed(hand.take('take').take, hand.now)
    hand.decide()
    expect(hand.has('take') || hand.has('dispatch')).toBe(false)
    hand.until('take')
    expect(hand.takes('gone', 'taken')).toEqual(['m1', 'm2'])
    expect(hand.dispatches()).toEqual(['m2'])
    expect(hand.ends()).toEqual([])
  })

  it('leaves a partition to the relay whose epoch holds', () => {
    const hand = hands()
    hand.read([row(1, 'a')])
    hand.takes('fenced')
    expect(hand.take('fenced').partitions).toEqual([lease])
    expect(hand.has('dispatch')).toBe(false)
    expect(hand.mind.held).toEqual([])
  })

  it('does not overtake the next owner of a key: what it took and has not sent is lost', () => {
    const hand = hands()
    hand.read([row(1, 'a')])
    const { take } = hand.take('take')
    hand.mind.lostAll()
    hand.mind.taken(take, ['taken'], hand.now)
    hand.decide()
    expect(hand.has('dispatch')).toBe(false)
    expect(hand.ends()).toEqual([{ channel: 'orders', id: 'm1', cause: 'not-sent', code: 'LEASE_LOST' }])
  })

  it('does not overtake it either where nobody has told it yet that its lease is over, as after it was stopped', () => {
    const hand = hands()
    hand.read([row(1, 'a'), row(2, 'b')])
    const { take } = hand.take('take')
    hand.mind.taken(take, ['taken', 'taken'], 100_000)
    hand.decide()
    expect(hand.has('dispatch')).toBe(false)
    expect(hand.ends().map(({ id, code }) => [id, code])).toEqual([
      ['m1', 'LEASE_LOST'],
      ['m2', 'LEASE_LOST'],
    ])
    // It may well be renewed, and goes on then.
    hand.mind.renewed([lease], 200_000)
    hand.read([row(3, 'a')])
    expect(hand.takes()).toEqual(['m3'])
    expect(hand.dispatches()).toEqual(['m3'])
    hand.ends()
    hand.read()
    expect(hand.mind.inMemory).toBe(0)
  })

  it('still sends what has no order, whoever owns the partition by then', () => {
    const hand = hands()
    hand.read([row(1, null)])
    const { take } = hand.take('take')
    hand.mind.lostAll()
    hand.mind.taken(take, ['taken'], hand.now)
    hand.decide()
    expect(hand.dispatches()).toEqual(['m1'])
    expect(hand.ends()).toEqual([])
  })

  it('gives a partition back only when what it took has ended', () => {
    const hand = hands()
    hand.read([row(1, 'a')])
    hand.takes()
    hand.mind.drain([0])
    hand.dispatches()
    expect(hand.has('release')).toBe(false)
    hand.ends()
    expect(hand.take('release').partitions).toEqual([lease])
  })

  it('says the end again where the answer was lost', () => {
    const hand = hands()
    hand.read([row(1, 'a')])
    hand.takes()
    hand.dispatches(dropped)
    const first = hand.take('endTaken')
    hand.mind.endTakenFailed(first.take, hand.now)
    hand.decide()
    expect(hand.has('endTaken')).toBe(false)
    hand.until('endTaken')
    expect(hand.ends()).toEqual(first.losses)
  })
})

describe('where another server answers that may not know of the take', () => {
  it('deletes and counts in one write what was lost, and reads on from there', () => {
    const hand = hands()
    hand.read([row(1, 'a'), row(2, 'b')])
    hand.takes()
    hand.read([], { server: 'promoted' })
    hand.dispatches(dropped, null)
    // Its line in `taken` may have fallen back too, and then nothing would count it.
    expect(hand.take('lose')).toMatchObject({ rows: [{ id: 'm1', cause: 'not-sent', epoch: 1n }] })
    expect(hand.remove()).toEqual(['m2'])
    expect(hand.ends()).toMatchObject([{ id: 'm1', cause: 'not-sent' }])
    expect(hand.mind.counters).toMatchObject({ lost: 1, expired: 0 })
  })

  it('writes that again where the write failed', () => {
    const hand = hands()
    hand.read([row(1, 'a')])
    hand.takes()
    hand.read([], { server: 'promoted' })
    hand.dispatches(dropped)
    hand.mind.writeFailed(hand.take('lose').write, hand.now)
    hand.until('lose')
    expect(hand.write('lose')).toEqual(['m1'])
    hand.ends()
    hand.mind.drain([0])
    hand.decide()
    expect(hand.take('release').partitions).toEqual([lease])
  })
})

describe('a destination that is not there', () => {
  it('is asked before the take: the rows wait, and nothing is lost', () => {
    const hand = hands()
    hand.read([row(1, 'a'), row(2, 'b')])
    hand.mind.notReady(hand.take('take').take, hand.now)
    hand.decide()
    hand.read()
    expect(hand.has('take')).toBe(false)
    hand.rest()
    expect(hand.asked().channels).toEqual(['views'])
    while (hand.asked().channels.length < 2) {
      hand.read()
      if (!hand.has('read')) hand.rest()
    }
    hand.read([row(1, 'a'), row(2, 'b')])
    expect(hand.takes()).toEqual(['m1'])
    expect(hand.dispatches()).toEqual(['m1'])
    expect(hand.takes()).toEqual(['m2'])
  })

  it('is left alone for a while where all that was handed to it was dropped', () => {
    const hand = hands()
    hand.read([row(1, 'a'), row(2, 'a')])
    hand.takes()
    hand.dispatches(dropped, dropped)
    expect(hand.ends()).toHaveLength(2)
    hand.read([row(3, 'a')])
    expect(hand.has('take')).toBe(false)
  })

  it('is there where a handler failed: its next message does not wait', () => {
    const hand = hands()
    hand.read([row(1, 'a')])
    hand.takes()
    hand.dispatches({ cause: 'handler-failed', code: 'E' })
    hand.read([row(2, 'a')])
    expect(hand.has('take')).toBe(true)
  })
})
