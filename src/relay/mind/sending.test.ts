import { describe, expect, it } from 'vitest'
import {
  ByHand,
  confirmed,
  lease,
  refused,
  row,
  unknown,
  unreachable,
  untried,
} from '../../../test/model/by-hand.ts'

describe('what goes into a send', () => {
  it('has a run of each key, and a key in one send at a time', () => {
    const hand = new ByHand()
    hand.read([row(1, 'a'), row(2, 'a'), row(3, 'b')])
    hand.read([row(4, 'a')])
    expect(hand.take('send').rows.map((each) => each.id)).toEqual(['m1', 'm2', 'm3'])
    expect(hand.has('send')).toBe(false)
  })

  it('has one message of a key where the transport does not keep the order of a batch', () => {
    const hand = new ByHand({ ordersBatch: false })
    hand.read([row(1, 'a'), row(2, 'a'), row(3, 'b')])
    expect(hand.send(confirmed)).toEqual(['m1', 'm3'])
    expect(hand.send(confirmed)).toEqual(['m2'])
  })

  it('waits for the renewal where its time-out does not fit into the lease', () => {
    const hand = new ByHand()
    hand.now = 100_000 - 399
    hand.read([row(1, 'a')])
    expect(hand.has('send')).toBe(false)
    hand.mind.renewed([lease], 200_000)
    hand.decide()
    expect(hand.send(confirmed)).toEqual(['m1'])
  })
})

describe('an unknown fate', () => {
  it('sends the rows again, in order, in smaller company down to none', () => {
    const hand = new ByHand({ batchSize: 16, maxSends: 4 })
    const fail = (among: number): string[][] => {
      const sends = Array.from({ length: among }, () => hand.take('send'))
      // Others pass meanwhile: it is not the destination.
      hand.read([row(10 + among, 'other')])
      hand.send(confirmed)
      for (const { send, rows } of sends)
        hand.mind.sendEnded(
          send,
          rows.map(() => unknown),
          hand.now,
        )
      hand.decide()
      return sends.map(({ rows }) => rows.map((each) => each.id))
    }
    hand.read([row(1, 'a'), row(2, 'a'), row(3, 'b')])
    expect(fail(1)).toEqual([['m1', 'm2', 'm3']])
    expect(fail(2)).toEqual([['m1', 'm2'], ['m3']])
    expect(hand.take('send').rows.map((each) => each.id)).toEqual(['m1'])
  })

  it('is sent again alone while others pass, and counts an attempt when it is unknown then', () => {
    const hand = new ByHand({ batchSize: 2 })
    hand.read([row(1, 'a'), row(2, 'b'), row(3, 'c'), row(4, 'd')])
    const first = hand.take('send')
    expect(first.rows.map((each) => each.id)).toEqual(['m1', 'm2'])
    expect(hand.send(confirmed)).toEqual(['m3', 'm4'])
    hand.mind.sendEnded(first.send, [unknown, unknown], hand.now)
    hand.decide()
    const again = hand.take('send')
    expect(again.rows.map((each) => each.id)).toEqual(['m1'])
    expect(hand.send(confirmed)).toEqual(['m2'])
    hand.mind.sendEnded(again.send, [unknown], hand.now)
    hand.decide()
    expect(hand.take('block').lines).toMatchObject([{ id: 'm1', attempts: 1, errorCode: 'NO_ANSWER' }])
  })

  it('of one message alone, when nothing else passed either, counts no attempt and holds the channel', () => {
    const hand = new ByHand()
    hand.read([row(1, 'a')])
    hand.send(unknown)
    expect(hand.has('block')).toBe(false)
    hand.read()
    hand.rest()
    expect(hand.asked().channels).toEqual(['views'])
  })

  it('does not hold the channel for a message that is found to be the trouble', () => {
    const hand = new ByHand({ batchSize: 2, maxSends: 1 })
    hand.read([row(1, 'a'), row(2, 'b'), row(3, 'c')])
    hand.send(unknown, confirmed)
    expect(hand.send(confirmed)).toEqual(['m3'])
    expect(hand.send(unknown)).toEqual(['m1'])
    expect(hand.take('block').lines).toHaveLength(1)
    hand.read()
    hand.rest()
    expect(hand.asked().channels).toEqual(['orders', 'views'])
  })

  it('takes a fate that was not told for unknown', () => {
    const hand = new ByHand()
    hand.read([row(1, 'a'), row(2, 'b')])
    hand.mind.sendEnded(hand.take('send').send, [confirmed], hand.now)
    hand.decide()
    expect(hand.mind.counters).toMatchObject({ confirmed: 1, unknown: 1 })
    expect(hand.send(confirmed)).toEqual(['m2'])
  })
})

describe('what a send had no time to try', () => {
  it('goes into the next one at once, in its order, counts no attempt and holds nothing', () => {
    const hand = new ByHand()
    hand.read([row(1, 'a'), row(2, 'a'), row(3, 'b'), row(4, 'a')])
    expect(hand.send(confirmed, untried)).toEqual(['m1', 'm2', 'm4', 'm3'])
    expect(hand.send(untried)).toEqual(['m2', 'm4', 'm3'])
    expect(hand.send(confirmed)).toEqual(['m2', 'm4', 'm3'])
    expect(hand.has('block')).toBe(false)
    while (hand.has('remove')) hand.remove()
    expect(hand.asked().channels).toEqual(['orders', 'views'])
    expect(hand.mind.inMemory).toBe(0)
  })
})

describe('keys that a send had no time to try', () => {
  it('go before those that had their turn and have new rows by then, so that none waits for ever (P7)', () => {
    const hand = new ByHand()
    hand.read([row(1, 'a'), row(2, 'b'), row(3, 'c')])
    const { send } = hand.take('send')
    hand.read([row(4, 'a')])
    hand.mind.sendEnded(send, [confirmed, untried, untried], hand.now)
    hand.decide()
    expect(hand.take('send').rows.map((each) => each.id)).toEqual(['m2', 'm3', 'm4'])
  })
})

describe('a destination that fails for everyone', () => {
  it('marks no rows, drops them, leaves the channel out, and reads from 0 when the hold ends', () => {
    const hand = new ByHand()
    hand.read([row(1, 'a'), row(2, 'b'), row(3, null)])
    hand.send(unreachable)
    expect(hand.send(confirmed)).toEqual(['m3'])
    hand.remove()
    expect(hand.has('block')).toBe(false)
    expect(hand.mind.inMemory).toBe(0)
    // Began before the hold: its rows are passed by, its floor is not trusted afterwards.
    hand.read([row(4, 'a')])
    expect(hand.has('send')).toBe(false)
    expect(hand.asked().channels).toEqual(['views'])
    hand.read()
    hand.now += 100
    hand.decide()
    expect(hand.asked().channels).toEqual(['orders', 'views'])
    expect(hand.floor()).toBe(0n)
    hand.read([row(1, 'a'), row(2, 'b'), row(4, 'a')])
    expect(hand.send(confirmed)).toEqual(['m1'])
    expect(hand.send(confirmed)).toEqual(['m2', 'm4'])
  })

  it('is probed with a message that is not in doubt, though one that is stands first', () => {
    const hand = new ByHand({ readLimit: 1 })
    hand.read([row(1, 'a')])
    hand.send(unknown)
    hand.read()
    hand.now += 100
    hand.decide()
    hand.read([row(1, 'a')])
    expect(hand.has('send')).toBe(false)
    hand.read([row(2, 'b')])
    expect(hand.send(confirmed)).toEqual(['m2'])
  })

  it('is probed with the message in doubt where there is no other', () => {
    const hand = new ByHand({ readLimit: 1 })
    hand.read([row(1, 'a')])
    hand.send(unknown)
    hand.read()
    hand.now += 100
    hand.decide()
    hand.read([row(1, 'a')])
    hand.read()
    expect(hand.send(confirmed)).toEqual(['m1'])
  })
})

describe('a channel that is held while more of it is under way', () => {
  const large = (seq: number, key: string | null) => row(seq, key, { payload: new Uint8Array(4000) })

  it.each([
    ['fails for everyone too', unreachable, 'a'],
    ['had no time to be tried', untried, 'a'],
    ['has no keys', unreachable, null],
  ] as const)('reads again after the hold, where what fills its memory %s', (_what, fate, key) => {
    const hand = new ByHand({ maxInFlightBytes: 10_000 })
    const keyOf = (name: string): string | null => (key === null ? null : name)
    hand.read([row(1, keyOf('a'))])
    const first = hand.take('send')
    hand.read([large(2, keyOf('b')), large(3, keyOf('c')), large(4, keyOf('d'))])
    const second = hand.take('send')
    for (const [{ send, rows }, told] of [
      [first, unreachable],
      [second, fate],
    ] as const)
      hand.mind.sendEnded(
        send,
        rows.map(() => told),
        hand.now,
      )
    hand.until('read')
    while (hand.floor() !== 0n) {
      hand.read()
      hand.until('read')
    }
    hand.read([row(1, keyOf('a')), large(2, keyOf('b'))])
    expect(hand.send(confirmed)).toEqual(['m1'])
    expect(hand.send(confirmed)).toEqual(['m2'])
  })
})

describe('leases', () => {
  it('deletes what the broker confirms after the lease was lost, and counts it', () => {
    const hand = new ByHand()
    hand.read([row(1, 'a')])
    hand.mind.renewed([], 200_000)
    expect(hand.mind.inMemory).toBe(0)
    hand.send(confirmed)
    expect(hand.remove()).toEqual(['m1'])
    expect(hand.mind.counters.lateConfirms).toBe(1)
  })

  it('writes nothing of a message that fails after the lease was lost', () => {
    const hand = new ByHand()
    hand.read([row(1, 'a')])
    hand.mind.lostAll()
    hand.send(refused)
    expect(hand.has('block')).toBe(false)
    expect(hand.mind.isIdle).toBe(true)
  })

  it('drains: nothing new is sent, what is under way ends with its delete, then the lease goes back', () => {
    const hand = new ByHand({ batchSize: 1, maxSends: 1 })
    hand.read([row(1, 'a'), row(2, 'b')])
    hand.mind.drain([0])
    hand.decide()
    hand.read([row(3, 'c')])
    expect(hand.send(confirmed)).toEqual(['m1'])
    expect([hand.has('send'), hand.has('release')]).toEqual([false, false])
    hand.remove()
    expect(hand.take('release').partitions).toEqual([lease])
    expect(hand.mind.inMemory).toBe(0)
  })

  it('does not read without rest while a partition that is drained has a key to open', () => {
    const hand = new ByHand({ batchSize: 1 })
    hand.mind.gained([{ partition: 1, epoch: 1n }], 100_000)
    hand.read([row(1, 'a'), row(2, 'b')])
    hand.send(refused)
    hand.mind.drain([0])
    hand.write('block')
    expect(hand.has('send')).toBe(true)
    hand.read()
    hand.rest()
    hand.read()
    expect(hand.has('read')).toBe(false)
    expect(hand.mind.nextDecisionAt()).toBeGreaterThan(hand.now)
  })
})
