import { describe, expect, it } from 'vitest'
import { ByHand, lease, lineage, refused, row, unknown, unreachable } from '../../../test/model/by-hand.ts'
import type { Fate, FencedNote } from '../../ports/transport.ts'
import type { MindOptions } from './types.ts'

/** Not the trouble, but in one transaction with it. */
const aborted: Fate = {
  outcome: 'rejected',
  scope: 'message',
  retryable: true,
  code: 'WB_ABORTED',
  reason: 'no',
}
const committed = { outcome: 'committed' } as const
const unanswered = { outcome: 'unknown', code: 'NO_ANSWER', reason: 'no answer' } as const

function hands(options: Partial<MindOptions> = {}): ByHand {
  return new ByHand(options, 'fence')
}

function note(number: number, rows: readonly number[], epoch = 0n): FencedNote {
  return { epoch, number: BigInt(number), rows: rows.map((seq) => ({ seq: BigInt(seq), id: `m${seq}` })) }
}

/** Taken over, with nothing left to settle. */
function ready(options: Partial<MindOptions> = {}): ByHand {
  const hand = hands(options)
  hand.takesOver()
  hand.read()
  return hand
}

describe('a partition that was gained', () => {
  it('has nothing read of it used before it is taken over and compared', () => {
    const hand = hands()
    hand.read([row(1, 'a')])
    expect(hand.has('publishFenced')).toBe(false)
    hand.takesOver()
    hand.read([row(2, 'a')])
    expect(hand.has('publishFenced')).toBe(false)
    expect(hand.floor()).toBe(0n)
    hand.read([row(1, 'a')])
    expect(hand.publishes()).toEqual([1n, 'm1'])
  })

  it('has the rows of the broker’s last note deleted, and only what is read after that is sent', () => {
    const hand = hands()
    hand.takesOver(note(7, [1, 3]), { number: 6n })
    hand.read([row(1, 'a'), row(2, 'b'), row(3, 'c')])
    expect(hand.has('publishFenced')).toBe(false)
    expect(hand.removesFenced()).toEqual([7n, 'm1', 'm3'])
    hand.read()
    expect(hand.floor()).toBe(0n)
    hand.read([row(2, 'b')])
    expect(hand.publishes()).toEqual([8n, 'm2'])
  })

  it('passes by what a read brings that was issued before the rows of the note were deleted', () => {
    const hand = hands()
    hand.takesOver(note(1, [1]), { number: 0n })
    hand.until('read')
    hand.removesFenced()
    hand.read([row(1, 'a')])
    hand.read([row(2, 'b')])
    expect(hand.publishes()).toEqual([2n, 'm2'])
  })

  it('asks the broker again after a pause, and keeps its lease meanwhile', () => {
    const hand = hands()
    hand.mind.fencedCallFailed(hand.take('takeOver').call, hand.now)
    hand.decide()
    expect(hand.has('takeOver')).toBe(false)
    expect(hand.mind.held).toEqual([lease])
    hand.until('takeOver')
  })

  it('has twice the time at each attempt, so that a slow broker is done at last', () => {
    const hand = hands()
    const times = Array.from({ length: 5 }, () => {
      hand.until('takeOver')
      const { call, timeoutMs } = hand.take('takeOver')
      hand.mind.fencedCallFailed(call, hand.now)
      return timeoutMs
    })
    expect(times).toEqual([400, 800, 1600, 3200, 3200])
    hand.until('takeOver')
    hand.takesOver()
    hand.read([row(1, 'a')])
    hand.mind.publishedFenced(hand.take('publishFenced').call, unanswered, hand.now)
    hand.until('takeOver')
    expect(hand.take('takeOver').timeoutMs).toBe(400)
  })

  it('is not taken over any longer where its lease was lost, and anew as soon as that was called off', () => {
    const hand = hands()
    const { call } = hand.take('takeOver')
    hand.mind.lostAll()
    hand.mind.gained([{ partition: 0, epoch: 9n }], 100_000)
    hand.decide()
    expect(hand.take('releaseFenced').partitions).toEqual([0])
    expect(hand.has('takeOver') || hand.has('releaseFenced')).toBe(false)
    hand.mind.fencedCallFailed(call, hand.now)
    hand.decide()
    expect(hand.take('takeOver').partition).toEqual({ partition: 0, epoch: 9n })
    expect(hand.has('releaseFenced')).toBe(false)
  })

  it('is taken over with few others at a time, each with its own time for it', () => {
    const hand = hands()
    const leases = Array.from({ length: 6 }, (_, i) => ({ partition: i + 1, epoch: 1n }))
    hand.mind.gained(leases, 100_000)
    hand.decide()
    const first = Array.from({ length: 4 }, () => hand.take('takeOver'))
    expect(hand.has('takeOver')).toBe(false)
    hand.mind.tookOver(first[0]!.call, { last: null, lineage })
    hand.mind.fencedCallFailed(first[1]!.call, hand.now)
    hand.decide()
    // Whose turn it was not yet comes before the one that failed.
    const next = [hand.take('takeOver'), hand.take('takeOver')]
    expect(next.map(({ partition }) => partition.partition)).toEqual([4, 5])
    expect(hand.has('takeOver')).toBe(false)
  })

  it('goes on after the relay’s own notes were all settled', () => {
    const hand = hands()
    hand.takesOver(note(4, [1]), { number: 4n })
    hand.read([row(1, 'a')])
    hand.read([row(5, 'a')])
    expect(hand.publishes()).toEqual([5n, 'm5'])
  })

  it.each([
    ['is more than one transaction ahead', note(9, [1]), { number: 7n }],
    ['is behind', note(6, [1]), { number: 7n }],
    ['knows nothing', null, { number: 7n }],
    ['is of a newer epoch than the lease', note(8, [1], 2n), { number: 7n }],
    ['is kept elsewhere than the last one', note(8, [1]), { number: 7n, lineage: 'elsewhere' }],
  ])('stops where the note %s, once it is sure that the lease holds', (_, last, store) => {
    const hand = hands()
    hand.takesOver(last, store)
    hand.until('read')
    hand.read([row(1, 'a')])
    expect(hand.has('publishFenced') || hand.has('removeFenced') || hand.has('fencingStopped')).toBe(false)
    hand.mind.renewed([lease], 100_000)
    hand.decide()
    expect(hand.has('fencingStopped')).toBe(false)
    hand.mind.renewed([lease], 100_000)
    hand.decide()
    const { stopped } = hand.take('fencingStopped')
    expect(stopped.partition).toBe(0)
    expect(stopped.reason).not.toBe('')
    expect(hand.mind.stopped).toEqual([stopped])
  })

  it('goes on once an operator has told the store which transaction was the last', () => {
    const hand = hands()
    hand.takesOver(note(9, [1]), { number: 7n })
    hand.mind.renewed([lease], 100_000)
    hand.mind.renewed([lease], 100_000)
    hand.decide()
    hand.take('fencingStopped')
    hand.mind.fencedStateReturned(hand.take('fencedState').call, { number: 7n, lineage }, hand.now)
    hand.decide()
    expect(hand.has('fencingStopped')).toBe(false)
    expect(hand.mind.stopped).toHaveLength(1)
    hand.until('takeOver')
    hand.takesOver(note(9, [1]), { number: 9n })
    expect(hand.mind.stopped).toEqual([])
    hand.read([row(2, 'a')])
    expect(hand.publishes()).toEqual([10n, 'm2'])
  })

  it('that is a newer owner’s is left to it without an alarm', () => {
    const hand = hands()
    hand.takesOver(note(8, [1], 2n), { number: 7n })
    hand.mind.renewed([], 100_000)
    hand.decide()
    expect(hand.has('fencingStopped')).toBe(false)
    expect(hand.take('releaseFenced').partitions).toEqual([0])
  })
})

describe('a fenced transaction', () => {
  it('is the only one of its partition, and the next waits for the delete of its rows', () => {
    const hand = ready()
    hand.read([row(1, 'a')])
    hand.read([row(2, 'b')])
    const first = hand.take('publishFenced')
    expect(hand.has('publishFenced')).toBe(false)
    hand.mind.publishedFenced(first.call, committed, hand.now)
    hand.decide()
    expect(hand.has('publishFenced')).toBe(false)
    expect(hand.removesFenced()).toEqual([1n, 'm1'])
    expect(hand.publishes()).toEqual([2n, 'm2'])
  })

  it('is of one partition, and others have theirs beside it', () => {
    const hand = ready()
    hand.mind.gained([{ partition: 1, epoch: 5n }], 100_000)
    hand.decide()
    hand.takesOver()
    hand.read()
    hand.read([row(1, 'a'), row(2, 'b', { partition: 1 })])
    const one = hand.take('publishFenced')
    const other = hand.take('publishFenced')
    expect([one, other].map((each) => each.partition.partition).sort()).toEqual([0, 1])
    for (const each of [one, other])
      expect(each.rows.every((its) => its.partition === each.partition.partition)).toBe(true)
  })

  it('is bounded by the messages and the bytes of its channel', () => {
    const rules = {
      form: 'fence',
      ordered: false,
      maxAttempts: 3,
      retry: { initialMs: 1, maxMs: 1 },
    } as const
    const channels = new Map([['views', { ...rules, batchSize: 3, batchBytes: 2000 }]])
    const hand = ready({ channels })
    const large = { payload: new Uint8Array(1500) }
    hand.read([
      row(1, null),
      row(2, null),
      row(3, null),
      row(4, null),
      row(5, null, large),
      row(6, null, large),
    ])
    expect(hand.publishes()).toEqual([1n, 'm1', 'm2', 'm3'])
    hand.removesFenced()
    expect(hand.publishes()).toEqual([2n, 'm4', 'm5'])
    hand.removesFenced()
    expect(hand.publishes()).toEqual([3n, 'm6'])
  })

  it('has its rows deleted again where the answer was lost, under the same number', () => {
    const hand = ready()
    hand.read([row(1, 'a')])
    hand.publishes()
    hand.mind.fencedCallFailed(hand.take('removeFenced').call, hand.now)
    hand.decide()
    hand.until('removeFenced')
    expect(hand.removesFenced()).toEqual([1n, 'm1'])
  })

  it('whose delete is refused is left to the successor', () => {
    const hand = ready()
    hand.read([row(1, 'a')])
    hand.publishes()
    hand.removesFenced(false)
    expect(hand.take('fenced').partitions).toEqual([lease])
    expect(hand.mind.held).toEqual([])
  })

  it('gives the lease up where a successor has fenced it, and drops everything', () => {
    const hand = ready()
    hand.read([row(1, 'a'), row(2, 'a')])
    hand.read([row(3, 'b')])
    hand.publishes({ outcome: 'fenced' })
    expect(hand.take('fenced').partitions).toEqual([lease])
    expect(hand.take('release').partitions).toEqual([lease])
    expect(hand.take('releaseFenced').partitions).toEqual([0])
    expect(hand.mind.inMemory).toBe(0)
    expect(hand.has('publishFenced')).toBe(false)
  })

  it('does not ask the broker for a partition while an older call of it is under way', () => {
    const hand = ready()
    hand.read([row(1, 'a')])
    const old = hand.take('publishFenced')
    hand.mind.lostAll()
    hand.mind.gained([{ partition: 0, epoch: 9n }], 100_000)
    hand.decide()
    expect(hand.has('takeOver') || hand.has('releaseFenced')).toBe(false)
    hand.mind.publishedFenced(old.call, committed, hand.now)
    hand.decide()
    expect(hand.has('removeFenced')).toBe(false)
    expect(hand.take('takeOver').partition).toEqual({ partition: 0, epoch: 9n })
  })
})

describe('a refused transaction', () => {
  it('gives a line to the message that was the trouble, and sends the others anew under the same number', () => {
    const hand = ready()
    hand.read([row(1, 'a'), row(2, 'b'), row(3, 'c')])
    expect(hand.publishes({ outcome: 'rejected', fates: [aborted, refused, aborted] })).toEqual([
      1n,
      'm1',
      'm2',
      'm3',
    ])
    expect(hand.write('block')).toEqual(['m2'])
    expect(hand.publishes()).toEqual([1n, 'm1', 'm3'])
  })

  it('does not let a line hold those of its key that stand before the trouble', () => {
    const hand = ready()
    hand.read([row(1, 'a'), row(2, 'a'), row(3, 'a')])
    hand.publishes({ outcome: 'rejected', fates: [aborted, refused, refused] })
    expect(hand.has('block')).toBe(false)
    expect(hand.publishes()).toEqual([1n, 'm1'])
    hand.removesFenced()
    expect(hand.publishes({ outcome: 'rejected', fates: [refused] })).toEqual([2n, 'm2'])
    expect(hand.take('block').lines).toMatchObject([{ id: 'm2', attempts: 1 }])
  })

  it.each([[[aborted, aborted]], [[unknown, unknown]], [[]], [[unreachable, unreachable]]])(
    'of which nobody is the trouble holds the destination: %#',
    (fates) => {
      const hand = ready()
      hand.read([row(1, 'a'), row(2, 'b')])
      hand.publishes({ outcome: 'rejected', fates })
      expect(hand.has('publishFenced') || hand.has('block')).toBe(false)
      hand.read()
      hand.until('read')
      expect(hand.asked().channels).toEqual(['views'])
    },
  )
})

describe('a commit that was not answered', () => {
  it('is found to have happened: its rows are deleted, and not sent again', () => {
    const hand = ready()
    hand.read([row(1, 'a'), row(2, 'b')])
    hand.publishes(unanswered)
    hand.takesOver(note(1, [1, 2], lease.epoch), { number: 0n })
    expect(hand.removesFenced()).toEqual([1n, 'm1', 'm2'])
    hand.until('read')
    hand.read()
    hand.read([row(3, 'a')])
    expect(hand.publishes()).toEqual([2n, 'm3'])
    expect(hand.mind.counters.confirmed).toBe(3)
  })

  it('is found not to have happened: its rows are read and sent anew, under the same number', () => {
    const hand = ready({ hold: { initialMs: 0, maxMs: 0 } })
    hand.read([row(1, 'a'), row(2, 'b')])
    hand.publishes(unanswered)
    expect(hand.has('publishFenced')).toBe(false)
    hand.takesOver()
    hand.until('read')
    hand.read()
    hand.until('read')
    hand.read([row(1, 'a'), row(2, 'b')])
    hand.until('publishFenced')
    expect(hand.publishes()).toEqual([1n, 'm1'])
  })

  it('is left to the successor where the relay drains', () => {
    const hand = ready()
    hand.read([row(1, 'a')])
    hand.mind.drain([0])
    hand.publishes(unanswered)
    expect(hand.take('release').partitions).toEqual([lease])
    expect(hand.has('takeOver')).toBe(false)
    expect(hand.mind.inMemory).toBe(0)
  })
})

it('compares anew where the store has another last transaction than it was told', () => {
  const hand = ready()
  hand.read([row(1, 'a')])
  hand.publishes()
  hand.mind.fencedMismatch(hand.take('removeFenced').call, hand.now)
  hand.decide()
  hand.until('takeOver')
  expect(hand.has('removeFenced')).toBe(false)
  hand.takesOver(note(1, [1], lease.epoch), { number: 3n })
  hand.mind.renewed([lease], 100_000)
  hand.mind.renewed([lease], 100_000)
  hand.decide()
  expect(hand.take('fencingStopped').stopped.partition).toBe(0)
})

it('asks the broker anew while it is stopped: another may have had its epoch after a fail-over, and written since', () => {
  const hand = hands()
  hand.takesOver(null, { number: 1n })
  hand.mind.renewed([lease], 100_000)
  hand.mind.renewed([lease], 100_000)
  hand.decide()
  hand.take('fencingStopped')
  hand.mind.fencedStateReturned(hand.take('fencedState').call, { number: 1n, lineage }, hand.now)
  hand.until('takeOver')
  hand.takesOver(note(1, [1], lease.epoch), { number: 1n })
  expect(hand.mind.stopped).toEqual([])
  hand.read([row(2, 'a')])
  expect(hand.publishes()).toEqual([2n, 'm2'])
})

it('compares anew where another server answers: a standby may not know of the last transactions', () => {
  const hand = ready()
  hand.read([row(1, 'a')])
  const first = hand.take('publishFenced')
  hand.read([], { server: 'promoted' })
  hand.mind.publishedFenced(first.call, committed, hand.now)
  hand.decide()
  expect(hand.has('removeFenced')).toBe(false)
  hand.takesOver(note(1, [1], lease.epoch), { number: 0n })
  expect(hand.removesFenced()).toEqual([1n, 'm1'])
})
