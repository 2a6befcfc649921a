import { describe, expect, it } from 'vitest'
import { envelope } from '../../test/fakes/messages.ts'
import type { Delivery } from '../ports/transport.ts'
import { StreamWindow } from './stream-window.ts'
import type { Turn } from './window-entry.ts'

function delivery(position: number, key: string | null, stream = 'orders/0', assignment = 1): Delivery {
  const name = `${stream}@${position}`
  return { envelope: envelope(name, key), raw: null, stream, position: BigInt(position), assignment }
}

function keyOf({ envelope: found }: Delivery): string | null {
  return found?.key ?? null
}

function positions(turn: Turn): number[] {
  return turn.entries.map((entry) => Number(entry.delivery.position))
}

function setUp(deliveries: readonly Delivery[], cautious = 0): StreamWindow {
  const window = new StreamWindow(cautious)
  window.add(deliveries, keyOf)
  return window
}

function settleable(window: StreamWindow): number[] {
  return window.settleable().map(({ position }) => Number(position))
}

describe('a stream window', () => {
  it('hands deliveries on in order and settles up to the last that is done', () => {
    const window = setUp([delivery(3, 'a'), delivery(5, 'b'), delivery(9, null)])
    const turn = window.take(2, 0)
    expect(positions(turn)).toEqual([3, 5])
    window.finish(turn.entries[1]!)
    expect(settleable(window)).toEqual([])
    window.finish(turn.entries[0]!)
    expect(settleable(window)).toEqual([5])
    expect(window.settled(window.settleable())).toBe(2)
    expect(settleable(window)).toEqual([])
    expect(window.size).toBe(1)
  })

  it('holds the key of a failed delivery, lets others go on, and settles nothing past it', () => {
    const window = setUp([delivery(1, 'a'), delivery(2, 'a'), delivery(3, 'b'), delivery(4, null)])
    const first = window.take(1, 0)
    window.hold(first.entries[0]!, 100)
    const others = window.take(10, 50)
    expect(positions(others)).toEqual([3, 4])
    for (const entry of others.entries) window.finish(entry)
    expect(positions(window.take(10, 99))).toEqual([])
    expect(window.nextDueAt()).toBe(100)
    expect(settleable(window)).toEqual([])

    const retry = window.take(10, 100)
    expect([retry.kind, positions(retry)]).toEqual(['alone', [1]])
    window.finish(retry.entries[0]!)
    expect(settleable(window)).toEqual([1])
    expect(positions(window.take(10, 100))).toEqual([2])
  })

  it('drops of a stream that will be taken away what has not begun, and runs only what stands before what has', () => {
    const stream = 'orders/0'
    const window = setUp([delivery(1, 'a'), delivery(2, 'b'), delivery(3, 'c'), delivery(4, 'd')])
    const [first, second] = window.take(2, 0).entries
    window.finish(second!)
    window.release(first!)
    window.recede([stream])
    window.add([delivery(5, 'e')], keyOf)
    expect([window.size, window.isAtRest(stream)]).toEqual([2, false])
    expect(positions(window.take(9, 0))).toEqual([1])
    expect([window.take(9, 0).entries, window.isAtRest(stream)]).toEqual([[], false])
    window.finish(first!)
    expect([settleable(window), window.isAtRest(stream)]).toEqual([[2], false])
    window.settled(window.settleable())
    expect([window.size, window.isAtRest(stream)]).toEqual([0, true])
  })

  it('lets a stream go where what is left of it is held, or was not done', () => {
    const stream = 'orders/0'
    const window = setUp([delivery(1, 'a'), delivery(2, 'b'), delivery(3, 'c')])
    const [first, second, third] = window.take(3, 0).entries
    window.recede([stream])
    window.hold(first!, 100)
    window.finish(second!)
    expect(window.isAtRest(stream)).toBe(false)
    window.release(third!)
    expect([window.size, window.isAtRest(stream), window.nextDueAt()]).toEqual([2, true, 100])
    window.hold(window.take(9, 100).entries[0]!, 200)
    window.revoke([stream])
    expect(window.size).toBe(0)
  })

  it('lets retries and fresh deliveries take turns (P7)', () => {
    const window = setUp([delivery(1, 'a'), delivery(2, 'b'), delivery(3, 'c'), delivery(4, 'd')])
    for (const entry of window.take(2, 0).entries) window.hold(entry, 0)
    expect(positions(window.take(1, 1))).toEqual([1])
    expect(positions(window.take(1, 1))).toEqual([3])
    expect(positions(window.take(1, 1))).toEqual([2])
    expect(positions(window.take(1, 1))).toEqual([4])
  })

  it('asks for no turn before the head of a key is due, whatever those behind it say', () => {
    const window = setUp([delivery(1, 'a'), delivery(2, 'a')])
    const [head, follower] = window.take(2, 0).entries
    window.hold(follower!, 5)
    window.hold(head!, 100)
    expect(window.nextDueAt()).toBe(100)
    expect(positions(window.take(10, 50))).toEqual([])
  })

  it('does not retry one whose predecessor went back to waiting', () => {
    const window = setUp([delivery(1, 'a'), delivery(2, 'a')])
    const [head, follower] = window.take(2, 0).entries
    window.hold(follower!, 5)
    window.release(head!)
    expect(positions(window.take(10, 50))).toEqual([1])
  })

  it('looks at the other streams first when one was served', () => {
    const busy = [1, 2, 3, 4].map((position) => delivery(position, null, 'orders/0'))
    const window = setUp([...busy, delivery(1, null, 'orders/1')])
    window.take(2, 0)
    expect(window.take(2, 0).entries[0]?.delivery.stream).toBe('orders/1')
  })

  it('runs the first deliveries of an assignment alone, and those of their keys after them', () => {
    const window = setUp([delivery(1, 'a'), delivery(2, 'b'), delivery(3, 'a'), delivery(4, 'c')], 2)
    const cautious = window.take(10, 0)
    expect([cautious.kind, positions(cautious)]).toEqual(['alone', [1, 2]])
    const rest = window.take(10, 0)
    expect([rest.kind, positions(rest)]).toEqual(['batch', [4]])
    for (const entry of cautious.entries) window.finish(entry)
    expect(positions(window.take(10, 0))).toEqual([3])
  })

  it('gives what could not be decoded a turn of its own, holding nobody', () => {
    const raw = { payload: new Uint8Array(), error: 'no id' }
    const window = setUp([{ ...delivery(1, null), envelope: null, raw }, delivery(2, 'a')])
    const broken = window.take(10, 0)
    expect([broken.kind, positions(broken)]).toEqual(['broken', [1]])
    expect(positions(window.take(10, 0))).toEqual([2])
    window.hold(broken.entries[0]!, 10)
    expect(window.take(10, 10).kind).toBe('broken')
  })

  it('forgets a revoked stream, and settles nothing of it', () => {
    const window = setUp([delivery(1, 'a'), delivery(2, 'b')])
    const turn = window.take(1, 0)
    window.revoke(['orders/0', 'never/heard/of'])
    window.finish(turn.entries[0]!)
    expect(settleable(window)).toEqual([])
    expect(window.size).toBe(0)
    window.add([delivery(2, 'b')], keyOf)
    expect(window.size).toBe(0)
  })

  it('runs nothing of a stream that came back before what ran of it has ended', () => {
    const window = setUp([delivery(1, 'a'), delivery(2, 'b')])
    const before = window.take(10, 0)
    window.revoke(['orders/0'])
    window.add([delivery(1, 'a', 'orders/0', 2), delivery(1, 'a', 'orders/1')], keyOf)
    expect(window.take(10, 0).entries.map((entry) => entry.delivery.stream)).toEqual(['orders/1'])
    window.finish(before.entries[0]!)
    expect(positions(window.take(10, 0))).toEqual([])
    window.release(before.entries[1]!)
    expect(positions(window.take(10, 0))).toEqual([1])
  })

  it('takes a new assignment for a revocation it was not told of', () => {
    const window = setUp([delivery(1, 'a'), delivery(2, 'b')])
    for (const entry of window.take(10, 0).entries) window.finish(entry)
    window.add([delivery(1, 'a', 'orders/0', 2)], keyOf)
    expect(settleable(window)).toEqual([])
    expect(window.settled([{ stream: 'orders/0', position: 2n, assignment: 1 }])).toBe(0)
    expect(window.size).toBe(1)
  })

  it('ignores a delivery it has, or had, under the same assignment', () => {
    const window = setUp([delivery(1, 'a'), delivery(1, 'a')])
    expect(window.size).toBe(1)
    for (const entry of window.take(10, 0).entries) window.finish(entry)
    window.settled(window.settleable())
    window.add([delivery(1, 'a')], keyOf)
    expect(window.size).toBe(0)
  })
})
