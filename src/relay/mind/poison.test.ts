import { describe, expect, it } from 'vitest'
import { ByHand, confirmed, refused, refusedForGood, row, unreachable } from '../../../test/model/by-hand.ts'
import type { Fate } from '../../ports/transport.ts'
import type { PoisonPolicy } from '../../guarantees/plan.ts'

function handOf(onPoison: PoisonPolicy): ByHand {
  return new ByHand({}, 'confirm', { onPoison })
}

describe('a head that is given up', () => {
  it.each([
    ['out of attempts', row(1, 'a', { origin: 'retry', attempts: 2 }), refused, 'attempts-exhausted'],
    ['rejected for good', row(1, 'a'), refusedForGood, 'rejected'],
    ['unreadable', row(1, 'a'), { ...refusedForGood, isUnreadable: true }, 'unreadable'],
  ] as const)('%s is what its channel says: blocked, parked or skipped (O1)', (_why, head, fate, reason) => {
    const blocking = handOf('block')
    blocking.read([head])
    blocking.send(fate)
    expect(blocking.take('block').lines).toMatchObject([{ id: 'm1', key: 'a', retryInMs: null }])

    for (const [policy, parks] of [
      ['park', true],
      ['skip', false],
    ] as const) {
      const hand = handOf(policy)
      hand.read([head])
      hand.send(fate)
      expect(hand.take('bury').letters).toMatchObject([{ id: 'm1', reason, parks }])
    }
  })

  it('without order costs itself alone, whatever the policy', () => {
    for (const policy of ['block', 'park'] as const) {
      const hand = handOf(policy)
      hand.read([row(1, null), row(2, null)])
      hand.send(refusedForGood, confirmed)
      expect(hand.take('bury').letters).toMatchObject([{ id: 'm1', parks: false }])
    }
  })

  it('blocks its key durably, and no other: what followed leaves memory, and comes again when an operator says so (O2)', () => {
    const hand = handOf('block')
    hand.read([row(1, 'a'), row(2, 'a'), row(3, 'b')])
    expect(hand.send(refusedForGood, refusedForGood, confirmed)).toEqual(['m1', 'm2', 'm3'])
    hand.write('block')
    hand.remove()
    expect(hand.mind.counters).toMatchObject({ blocked: 1, buried: 0 })
    hand.read([row(4, 'b')])
    expect(hand.send()).toEqual(['m4'])
    hand.remove()
    hand.until('read')
    hand.read()
    expect(hand.mind.inMemory).toBe(0)
    hand.until('read')
    // Unblocked: the line is due at once, and the counter has risen.
    hand.read([], { rewind: 1n })
    hand.read([row(1, 'a', { origin: 'retry' })], { rewind: 1n })
    expect(hand.send()).toEqual(['m1'])
  })

  it('is none where it asked for a pause: it waits that long, and its attempts do not grow (O3)', () => {
    const hand = handOf('block')
    hand.read([row(1, 'a', { origin: 'retry', attempts: 2 }), row(2, 'a')])
    hand.send({ ...refused, retryInMs: 60_000 } as Fate)
    expect(hand.take('block').lines).toMatchObject([{ id: 'm1', attempts: 2, retryInMs: 60_000 }])
  })

  it('of a destination that fails for everyone is not given up', () => {
    const hand = handOf('block')
    hand.read([row(1, 'a', { origin: 'retry', attempts: 2 })])
    hand.send(unreachable)
    expect(hand.has('block')).toBe(false)
    expect(hand.mind.failing).toMatchObject([{ channel: 'orders', failures: 1, code: 'NO' }])
  })
})

describe('rows of a parked key', () => {
  function parked(): ByHand {
    const hand = handOf('park')
    hand.read([row(1, 'a'), row(2, 'a')])
    hand.send(refusedForGood)
    hand.write('bury')
    hand.read([], { rewind: 1n })
    return hand
  }
  const marked = (seq: number) => row(seq, 'a', { isParked: true })

  it('are moved beside the head in their order, and never sent', () => {
    const hand = parked()
    hand.read([marked(2), marked(3), row(4, 'b')], { rewind: 1n })
    expect(hand.send()).toEqual(['m4'])
    expect(hand.take('move').rows).toMatchObject([
      { id: 'm2', seq: 2n, channel: 'orders', key: 'a', epoch: 1n },
      { id: 'm3', seq: 3n },
    ])
    expect(hand.has('send')).toBe(false)
  })

  it('that come while others are being moved are moved after them; nothing is read twice for it', () => {
    const hand = parked()
    hand.read([marked(2)], { rewind: 1n })
    hand.read([marked(3)], { rewind: 1n })
    expect(hand.write('move')).toEqual(['m2'])
    expect(hand.write('move')).toEqual(['m3'])
    hand.read([], { rewind: 1n })
    expect(hand.floor()).toBe(3n)
    expect(hand.mind.inMemory).toBe(0)
    expect(hand.mind.counters).toMatchObject({ buried: 1, followers: 2 })
  })

  it('that a read brings which began before the last move was acknowledged are read again', () => {
    const hand = parked()
    hand.read([marked(2)], { rewind: 1n })
    hand.write('move')
    hand.read([marked(3)], { rewind: 1n })
    expect(hand.has('move')).toBe(false)
    expect(hand.floor()).toBeLessThan(3n)
    hand.read([marked(3)], { rewind: 1n })
    expect(hand.write('move')).toEqual(['m3'])
  })

  it('of which the line went meanwhile are read again, and sent in order', () => {
    const hand = parked()
    hand.read([marked(2), marked(3)], { rewind: 1n })
    // An operator has replayed the key: the head is back, and a read sees it before the move is told of.
    hand.read([], { rewind: 2n })
    hand.read([row(1, 'a'), row(2, 'a'), row(3, 'a'), row(4, 'a')], { rewind: 2n })
    expect(hand.has('send')).toBe(false)
    expect(hand.write('move', 'unparked')).toEqual(['m2', 'm3'])
    hand.read([], { rewind: 2n })
    expect(hand.floor()).toBe(0n)
    hand.read([row(1, 'a'), row(2, 'a'), row(3, 'a'), row(4, 'a')], { rewind: 2n })
    expect(hand.send()).toEqual(['m1', 'm2', 'm3', 'm4'])
  })

  it('that had been moved before the key was replayed come again too', () => {
    const hand = parked()
    hand.read([marked(2)], { rewind: 1n })
    // Moved, then replayed, both before the answer.
    hand.read([], { rewind: 2n })
    hand.read([row(1, 'a'), row(2, 'a')], { rewind: 2n })
    hand.write('move', 'written')
    hand.read([], { rewind: 2n })
    hand.read([row(1, 'a'), row(2, 'a')], { rewind: 2n })
    expect(hand.send()).toEqual(['m1', 'm2'])
  })

  it('whose move failed are moved again', () => {
    const hand = parked()
    hand.read([marked(2)], { rewind: 1n })
    hand.mind.writeFailed(hand.take('move').write, hand.now)
    hand.read([], { rewind: 1n })
    hand.until('move')
    expect(hand.write('move', 'gone')).toEqual(['m2'])
    expect(hand.mind.inMemory).toBe(0)
  })

  it('are left alone while rows of the key from another history are under way', () => {
    const hand = handOf('park')
    hand.read([row(2, 'a')])
    // Promoted: there the key is parked, and 2 comes again as a follower beside 3.
    hand.read([], { server: 'promoted' })
    hand.read([marked(3)], { server: 'promoted' })
    expect(hand.has('move')).toBe(false)
    expect(hand.send()).toEqual(['m2'])
    hand.read([], { server: 'promoted' })
    expect(hand.floor()).toBeLessThan(3n)
    hand.read([marked(3)], { server: 'promoted' })
    expect(hand.write('move')).toEqual(['m3'])
  })

  it('are moved on a channel that has no order any more: the line decides', () => {
    const hand = handOf('skip')
    hand.read([row(2, 'a', { channel: 'views', isParked: true })])
    expect(hand.write('move', 'unparked')).toEqual(['m2'])
    hand.read()
    expect(hand.floor()).toBe(1n)
    hand.read([row(2, 'a', { channel: 'views' })])
    expect(hand.send()).toEqual(['m2'])
  })

  it('wait for the fence, in the log though they may be', () => {
    const hand = new ByHand({}, 'fence', { onPoison: 'park' })
    hand.read([marked(2)])
    expect(hand.has('move')).toBe(false)
    hand.takesOver()
    hand.read()
    hand.read([marked(2)])
    expect(hand.write('move')).toEqual(['m2'])
  })
})
