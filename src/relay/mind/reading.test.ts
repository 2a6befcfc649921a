import { describe, expect, it } from 'vitest'
import { ByHand, confirmed, row } from '../../../test/model/by-hand.ts'

describe('floors and the list of open transactions', () => {
  it('asks for what was open, and for what began at or above xmax, in the snapshot of the last read', () => {
    const hand = new ByHand()
    expect(hand.asked().last).toBeNull()
    hand.read([row(5, 'a')], { xmax: 120n, open: [101n, 110n] })
    expect(hand.floor()).toBe(5n)
    expect(hand.asked().last).toEqual({ xmax: 120n, open: [101n, 110n] })
  })

  it('sends a row that committed below the floor before its successors, and leaves the floor', () => {
    const hand = new ByHand({ maxSends: 1 })
    hand.read([row(1, 'other'), row(5, 'other')])
    hand.read([row(3, 'a', { origin: 'late' }), row(6, 'a')])
    expect(hand.floor()).toBe(6n)
    expect(hand.send(confirmed)).toEqual(['m1', 'm5'])
    expect(hand.send(confirmed)).toEqual(['m3', 'm6'])
    expect(hand.mind.counters.lateRows).toBe(1)
  })

  it('discards the upper rows where the late list was cut, and reads on from below its lowest', () => {
    const hand = new ByHand({ lateLimit: 2 })
    hand.read([row(10, 'other')])
    hand.read([row(3, 'a', { origin: 'late' }), row(4, 'b', { origin: 'late' }), row(12, 'c')])
    expect(hand.floor()).toBe(2n)
    hand.send(confirmed)
    expect(hand.send(confirmed)).toEqual(['m3', 'm4'])
    expect(hand.has('send')).toBe(false)
  })

  it('changes nothing when a read fails', () => {
    const hand = new ByHand()
    hand.read([row(5, 'a')], { xmax: 120n, open: [101n] })
    const before = hand.asked()
    hand.mind.readFailed(hand.take('read').read, hand.now)
    hand.rest()
    expect(hand.asked()).toEqual(before)
  })

  it('takes nothing from a standby, and changes nothing', () => {
    const hand = new ByHand()
    hand.read([row(5, 'a')], { xmax: 120n, open: [101n] })
    hand.read([], { inRecovery: true, server: 'standby', xmax: 90n })
    hand.rest()
    expect(hand.floor()).toBe(5n)
    expect(hand.asked().last).toEqual({ xmax: 120n, open: [101n] })
  })

  it.each([
    ['another server answers', { server: 'promoted' }],
    ['xmax has gone back', { xmax: 90n }],
  ])('starts over from 0 with an empty list when %s', (_, answer) => {
    const hand = new ByHand({ maxSends: 1 })
    hand.read([row(5, 'a'), row(6, null)], { xmax: 120n })
    hand.read([row(7, 'a')], answer)
    expect(hand.floor()).toBe(0n)
    expect(hand.asked().last).toBeNull()
    // What is under way stays known; what waited is read again.
    hand.read([row(5, 'a'), row(6, null)], answer)
    expect(hand.send(confirmed)).toEqual(['m5'])
    expect(hand.send(confirmed)).toEqual(['m6'])
    expect(hand.mind.counters.serverChanges).toBe(1)
  })

  it('reads from 0 what it gained, and leaves the other floors', () => {
    const hand = new ByHand()
    hand.read([row(5, 'a')])
    hand.mind.gained([{ partition: 1, epoch: 7n }], 100_000)
    hand.read()
    expect([hand.floor(0), hand.floor(1)]).toEqual([5n, 0n])
  })
})

describe('rewinds', () => {
  it('discards the rows of that read and that partition only, and reads it from 0', () => {
    const hand = new ByHand()
    hand.mind.gained([{ partition: 1, epoch: 7n }], 100_000)
    hand.read()
    hand.read([row(5, 'a')])
    const other = row(9, 'z', { partition: 1 })
    hand.read([row(6, 'b'), other], { rewind: 1n })
    expect([hand.floor(0), hand.floor(1)]).toEqual([0n, 9n])
    expect(hand.send(confirmed)).toEqual(['m5'])
    expect(hand.send(confirmed)).toEqual(['m9'])
    hand.read([row(6, 'b')], { rewind: 1n })
    expect(hand.send(confirmed)).toEqual(['m6'])
  })
})

describe('delayed rows', () => {
  it('asks for what has become due since the last read, and takes it', () => {
    const hand = new ByHand()
    expect(hand.asked().partitions[0]?.mark).toBeNull()
    hand.read([row(5, null)], { mark: '100' })
    expect(hand.asked().partitions[0]?.mark).toBe('100')
    hand.read([row(3, null, { origin: 'delayed' })], { mark: '200' })
    expect(hand.floor()).toBe(5n)
    expect(hand.send(confirmed)).toEqual(['m5'])
    expect(hand.send(confirmed)).toEqual(['m3'])
  })

  it('keeps its mark where a read fails or is discarded, and starts a partition it gains without one', () => {
    const hand = new ByHand()
    hand.read([row(5, null)], { mark: '100' })
    hand.mind.readFailed(hand.take('read').read, hand.now)
    hand.rest()
    hand.read([row(3, null, { origin: 'delayed' })], { mark: '200', rewind: 1n })
    expect(hand.asked().partitions[0]).toEqual({ partition: 0, floor: 0n, mark: '100' })
    hand.mind.gained([{ partition: 0, epoch: 2n }], 100_000)
    hand.read([], { rewind: 1n })
    expect(hand.asked().partitions[0]?.mark).toBeNull()
  })

  it('reads again when the next one is due, and not before', () => {
    const hand = new ByHand({ poll: { initialMs: 500, maxMs: 500 } })
    hand.read([], { nextDueInMs: 40 })
    expect(hand.mind.nextDecisionAt()).toBe(hand.now + 40)
    hand.rest()
    hand.read([], { nextDueInMs: 90_000 })
    expect(hand.mind.nextDecisionAt()).toBeLessThanOrEqual(hand.now + 500)
  })

  it('reads on at once while what is due is more than one read brings', () => {
    const hand = new ByHand()
    hand.read([row(9, null)], { mark: '100' })
    hand.read([row(9, null, { origin: 'delayed' })], { mark: '110' })
    expect(hand.has('read')).toBe(true)
  })

  it('passes the floor over what was not eligible, but not where the read was cut', () => {
    const hand = new ByHand({ readLimit: 2, lateLimit: 1 })
    hand.read([row(5, null)], { top: 90n })
    expect(hand.floor()).toBe(90n)
    hand.read([row(91, null), row(92, null)], { top: 200n })
    expect(hand.floor()).toBe(92n)
    hand.read([row(7, null, { origin: 'late' })], { top: 200n })
    expect(hand.floor()).toBe(6n)
  })
})

describe('more held rows above the floor than one read looks at', () => {
  it('are passed by read after read, without a pause between', () => {
    const hand = new ByHand()
    hand.read([], { hasLines: true, top: 100n, isUnseen: true })
    expect(hand.has('read')).toBe(true)
    expect(hand.floor()).toBe(100n)
    hand.read([row(150, 'b')], { hasLines: true, top: 200n, isUnseen: true })
    expect(hand.has('read')).toBe(true)
    expect(hand.floor()).toBe(200n)
    hand.read([], { hasLines: true, top: 230n })
    expect(hand.has('read')).toBe(false)
    expect(hand.send(confirmed)).toEqual(['m150'])
  })
})

describe('large payloads', () => {
  const large = (seq: number, origin: 'late' | 'upper' = 'upper'): ReturnType<typeof row> => ({
    ...row(seq, `k${seq}`, { origin }),
    payload: new Uint8Array(3000),
  })
  const small = { maxInFlightBytes: 10_000, maxSends: 1 }

  it('are asked for by the bytes that memory has room for, for each partition', () => {
    const hand = new ByHand(small)
    expect(hand.asked().partitionBytes).toBe(10_000)
    hand.mind.gained([{ partition: 1, epoch: 7n }], 100_000)
    hand.read([large(5)])
    expect(hand.asked().partitionBytes).toBe((10_000 - 3200) / 2)
  })

  it('end a read: the floor does not pass what may stand behind them', () => {
    const hand = new ByHand(small)
    hand.read([large(5), large(6), large(7), large(8)], { top: 90n })
    hand.send(confirmed)
    hand.remove()
    expect(hand.floor()).toBe(8n)
    hand.read([large(9)], { top: 90n })
    hand.send(confirmed)
    hand.remove()
    expect(hand.floor()).toBe(90n)
  })

  it('below the floor cut the late list, so that nothing overtakes what was left out', () => {
    const hand = new ByHand({ ...small, lateLimit: 100 })
    hand.read([row(10, 'other')])
    hand.read([large(2, 'late'), large(3, 'late'), large(4, 'late'), large(5, 'late'), row(12, 'c')])
    hand.send(confirmed)
    hand.remove()
    expect(hand.send(confirmed)).toEqual(['m2', 'm3', 'm4', 'm5'])
    hand.remove()
    expect(hand.floor()).toBe(1n)
  })
})

describe('rows that were handed on', () => {
  it('does not send a row again that an older read brings after its delete was acknowledged', () => {
    const hand = new ByHand()
    hand.read([row(5, 'a')])
    hand.send(confirmed)
    hand.remove()
    hand.read([row(5, 'a', { origin: 'late' })])
    expect(hand.has('send')).toBe(false)
  })

  it('forgets it only when a read issued after that has returned', () => {
    const hand = new ByHand()
    hand.read([row(5, 'a')])
    hand.send(confirmed)
    hand.remove()
    hand.read()
    hand.rest()
    hand.read([row(5, 'a', { origin: 'late' })])
    expect(hand.send(confirmed)).toEqual(['m5'])
  })

  it('reads below a row whose delete was asked for before the server changed', () => {
    const hand = new ByHand()
    hand.read([row(5, 'a')])
    hand.send(confirmed)
    hand.read([], { server: 'promoted' })
    // The promoted server has the row still; it is passed by, for its delete is under way.
    hand.read([row(5, 'a')], { server: 'promoted' })
    expect(hand.floor()).toBe(5n)
    hand.remove()
    hand.read([], { server: 'promoted' })
    expect(hand.floor()).toBe(4n)
    hand.read([row(5, 'a')], { server: 'promoted' })
    expect(hand.send(confirmed)).toEqual(['m5'])
  })

  it('takes away the line of a row that needs nothing any more', () => {
    const hand = new ByHand()
    hand.read([], { orphans: [{ partition: 0, seq: 3n, id: 'm3' }] })
    expect(hand.remove()).toEqual(['m3'])
    expect(hand.mind.inMemory).toBe(0)
  })
})

describe('when to read', () => {
  it('reads at once after a read that found something, and rests after one that did not', () => {
    const hand = new ByHand()
    hand.read([row(5, 'a')])
    expect(hand.has('read')).toBe(true)
    hand.read()
    expect(hand.has('read')).toBe(false)
    expect(hand.mind.nextDecisionAt()).toBeGreaterThan(hand.now)
  })

  it('keeps a wake-up that comes while a read finds nothing', () => {
    const hand = new ByHand()
    hand.mind.wake()
    hand.decide()
    hand.read()
    expect(hand.has('readNews')).toBe(true)
  })

  it('reads in quick steps that grow after a hint, and not at once', () => {
    const hand = new ByHand({ poll: { initialMs: 10, maxMs: 100_000 } })
    for (let i = 0; i < 8; i++) {
      hand.read()
      hand.rest()
    }
    hand.read()
    const idle = hand.mind.nextDecisionAt() - hand.now
    expect(idle).toBeGreaterThan(1000)
    expect(hand.mind.hint(hand.now)).toBe(true)
    hand.decide()
    expect(hand.has('read')).toBe(false)
    const steps: number[] = []
    for (let i = 0; i < 5; i++) {
      const before = hand.now
      hand.rest()
      steps.push(hand.now - before)
      hand.read()
    }
    expect(steps).toEqual([10, 8, 15, 30, 60])
  })

  it('keeps a hint that comes while a read finds nothing', () => {
    const hand = new ByHand({ poll: { initialMs: 10, maxMs: 100_000 } })
    for (let i = 0; i < 8; i++) {
      hand.read()
      hand.rest()
    }
    hand.mind.hint(hand.now)
    hand.read()
    expect(hand.mind.nextDecisionAt() - hand.now).toBeLessThanOrEqual(10)
  })

  it('changes nothing by a second hint', () => {
    const hand = new ByHand()
    hand.read()
    hand.mind.hint(hand.now)
    expect(hand.mind.hint(hand.now)).toBe(false)
  })

  it('looks ever more rarely while nothing comes', () => {
    const hand = new ByHand({ poll: { initialMs: 10, maxMs: 1000 } })
    const start = hand.now
    let reads = 0
    for (; hand.now < start + 60_000; hand.rest()) {
      hand.read()
      reads += 1
    }
    expect(reads).toBeGreaterThan(60)
    expect(reads).toBeLessThan(100)
  })

  it('never rests after a full read', () => {
    const hand = new ByHand({ readLimit: 2 })
    for (let i = 0; i < 20; i += 2) {
      hand.read([row(i + 1, `k${i}`), row(i + 2, `k${i}`)])
      expect(hand.has('read')).toBe(true)
    }
  })

  it('reads at once what it gained while a read found nothing', () => {
    const hand = new ByHand()
    hand.mind.gained([{ partition: 1, epoch: 7n }], 100_000)
    hand.decide()
    hand.read()
    expect(hand.floor(1)).toBe(0n)
  })

  it('stops reading while memory is full, and one row always fits', () => {
    const hand = new ByHand({ maxInFlight: 2, maxInFlightBytes: 1 })
    expect(hand.asked().upperLimit).toBe(1)
    hand.read([row(5, 'a')])
    expect(hand.has('read')).toBe(false)
    expect(hand.mind.nextDecisionAt()).toBe(Infinity)
    hand.send(confirmed)
    hand.remove()
    expect(hand.floor()).toBe(5n)
  })
})
