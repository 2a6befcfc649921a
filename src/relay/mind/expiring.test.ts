import { describe, expect, it } from 'vitest'
import { ByHand, confirmed, refused, row, unknown, unreachable } from '../../../test/model/by-hand.ts'
import type { OutboxRow } from '../../ports/outbox.ts'
import type { ChannelRules, MindOptions } from './types.ts'

/** Rows live for a second; the clocks of mind and database begin to differ by a million. */
const skew = 1_000_000

function handOf(options: Partial<MindOptions> = {}, form: ChannelRules['form'] = 'confirm'): ByHand {
  return new ByHand(options, form, { expiresAfterMs: 1000 })
}

/** `age`: when the read returns. */
function aged(
  hand: ByHand,
  seq: number,
  key: string | null,
  age: number,
  also: Partial<OutboxRow> = {},
): OutboxRow {
  return row(seq, key, { createdAt: new Date(hand.now + skew - age), ...also })
}

function read(hand: ByHand, ...rows: OutboxRow[]): void {
  hand.read(rows, { serverTimeMs: hand.now + skew })
}

describe('a message that is older than its channel allows', () => {
  it('is as old as the end of its delay', () => {
    const hand = handOf()
    const ended = (ms: number): Partial<OutboxRow> => ({
      dueAt: new Date(hand.now + skew - ms),
      origin: 'delayed',
    })
    read(hand, aged(hand, 1, null, 90_000, ended(1000)), aged(hand, 2, null, 90_000, ended(1001)))
    expect(hand.send()).toEqual(['m1'])
    expect(hand.take('lose').rows).toMatchObject([{ id: 'm2' }])
  })

  it('is deleted and counted instead of being sent, by the clock of the database', () => {
    const hand = handOf()
    read(
      hand,
      aged(hand, 1, null, 1001),
      aged(hand, 2, null, 1000),
      aged(hand, 3, 'a', 5000),
      aged(hand, 4, 'b', 0),
    )
    expect([hand.send(), hand.send()].flat().toSorted()).toEqual(['m2', 'm4'])
    expect(hand.take('lose').rows).toMatchObject([
      { id: 'm3', channel: 'orders', epoch: 1n, cause: 'expired' },
      { id: 'm1', channel: 'views' },
    ])
  })

  it('holds up what follows it in its key until it has gone, and then lets it pass', () => {
    const hand = handOf()
    read(hand, aged(hand, 1, 'a', 2000), aged(hand, 2, 'a', 1500), aged(hand, 3, 'a', 10))
    expect(hand.has('send')).toBe(false)
    expect(hand.write('lose')).toEqual(['m1', 'm2'])
    expect(hand.send()).toEqual(['m3'])
    expect(hand.mind.counters).toMatchObject({ expired: 2, sent: 1 })
  })

  it('may have got old in memory, while its channel was failing: it is no probe', () => {
    const hand = handOf()
    read(hand, aged(hand, 1, 'a', 0), aged(hand, 2, 'b', 900))
    hand.send(unreachable)
    hand.read()
    hand.now += 200
    hand.until('read')
    read(hand, aged(hand, 1, 'a', 250), aged(hand, 2, 'b', 1150))
    expect(hand.write('lose')).toEqual(['m2'])
    expect(hand.send()).toEqual(['m1'])
  })

  it('leaves a run of its key where it stands: what is before it is sent, and then it goes', () => {
    const hand = handOf()
    read(hand, aged(hand, 1, 'a', 10), aged(hand, 2, 'a', 2000), aged(hand, 3, 'a', 10))
    expect(hand.send()).toEqual(['m1'])
    expect(hand.write('lose')).toEqual(['m2'])
    expect(hand.send()).toEqual(['m3'])
  })

  it('that failed before goes with its line', () => {
    const hand = handOf()
    read(hand, aged(hand, 1, 'a', 2000, { origin: 'retry', attempts: 1 }))
    expect(hand.write('lose')).toEqual(['m1'])
    expect(hand.mind.inMemory).toBe(0)
  })

  it('says so where its fate was unknown', () => {
    const hand = handOf()
    read(hand, aged(hand, 1, 'a', 900))
    hand.send(unknown)
    hand.read()
    hand.now += 200
    hand.until('read')
    read(hand, aged(hand, 1, 'a', 1200))
    expect(hand.take('lose').rows).toMatchObject([{ id: 'm1', cause: 'expired-in-doubt' }])
  })

  it('is left to the successor where the epoch does not hold, and deleted again where nobody knows', () => {
    const hand = handOf()
    read(hand, aged(hand, 1, null, 2000))
    hand.mind.writeFailed(hand.take('lose').write, hand.now)
    hand.until('lose')
    hand.write('lose', 'fenced')
    expect(hand.mind.held).toEqual([])
    expect(hand.mind.inMemory).toBe(0)
  })

  it('is read again where another server is read since', () => {
    const hand = handOf()
    read(hand, aged(hand, 1, null, 2000))
    hand.read([], { server: 'promoted' })
    hand.write('lose')
    hand.read([], { server: 'promoted' })
    expect(hand.floor()).toBe(0n)
  })

  it('is not taken for its one send', () => {
    const hand = handOf({}, 'take')
    read(hand, aged(hand, 1, 'a', 2000), aged(hand, 2, 'b', 0))
    expect(hand.takes()).toEqual(['m2'])
    expect(hand.write('lose')).toEqual(['m1'])
  })

  it('is in no fenced transaction; and what one left in doubt has been looked up', () => {
    const hand = handOf({}, 'fence')
    hand.takesOver()
    hand.read()
    read(hand, aged(hand, 1, 'a', 900))
    hand.publishes({ outcome: 'unknown', code: 'NO_ANSWER', reason: 'no answer' })
    hand.takesOver()
    hand.now += 500
    hand.until('read')
    read(hand, aged(hand, 1, 'a', 1500))
    hand.until('read')
    read(hand, aged(hand, 1, 'a', 1500))
    expect(hand.take('lose').rows).toMatchObject([{ id: 'm1', cause: 'expired' }])
  })

  it('has no end where the channel sets none', () => {
    const hand = new ByHand()
    read(hand, aged(hand, 1, 'a', 1e12))
    expect(hand.send(confirmed)).toEqual(['m1'])
  })

  it('says in its line that an attempt was in doubt', () => {
    const hand = handOf({ maxSends: 1, batchSize: 1 })
    read(hand, aged(hand, 1, 'a', 0, { origin: 'retry', attempts: 1 }))
    hand.send(refused)
    expect(hand.take('block').lines).toMatchObject([{ isInDoubt: false }])
  })
})
