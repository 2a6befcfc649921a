import { expect, it } from 'vitest'
import { ByHand, confirmed, refused, row, unreachable } from '../../../test/model/by-hand.ts'

/** A mind that has read all there is, and rests. */
function upToDate(): ByHand {
  const hand = new ByHand()
  hand.read([row(5, 'a')])
  hand.send(confirmed)
  hand.read([], { xmax: 120n, open: [110n] })
  hand.remove()
  expect(hand.has('read')).toBe(false)
  return hand
}

function wake(hand: ByHand): void {
  hand.mind.wake()
  hand.decide()
}

it('looks for nothing but news when it is woken, since all else has been read', () => {
  const hand = upToDate()
  wake(hand)
  expect(hand.has('read')).toBe(false)
  const asked = hand.readNews([row(6, 'b')], { xmax: 130n, open: [125n] })
  expect(asked).toEqual({
    partitions: [{ partition: 0, floor: 5n, mark: null }],
    last: { xmax: 120n, open: [110n] },
    limit: 10,
    bytes: 1e9,
    channels: ['orders', 'views'],
  })
  expect(hand.send(confirmed)).toEqual(['m6'])
})

it('reads all of it after news, above them and from their snapshot on', () => {
  const hand = upToDate()
  wake(hand)
  hand.readNews([row(6, 'b')], { xmax: 130n, open: [125n] })
  expect(hand.floor()).toBe(6n)
  expect(hand.asked().last).toEqual({ xmax: 130n, open: [125n] })
})

it('sends what came late before its successor, where both are news', () => {
  const hand = upToDate()
  wake(hand)
  hand.readNews([row(3, 'b', { origin: 'late' }), row(6, 'b')])
  expect(hand.send(confirmed)).toEqual(['m3', 'm6'])
})

it('reads all of it at once where the news cannot be told, and changes nothing', () => {
  const hand = upToDate()
  wake(hand)
  hand.readNews(null)
  expect(hand.floor()).toBe(5n)
  expect(hand.asked().last).toEqual({ xmax: 120n, open: [110n] })
})

it('discards the news of a partition whose rows have become eligible otherwise', () => {
  const hand = upToDate()
  wake(hand)
  hand.readNews([row(6, 'b')], { rewind: 1n })
  expect(hand.has('send')).toBe(false)
  expect(hand.floor()).toBe(0n)
})

it('reads all of it when it is time, or while something was found', () => {
  const hand = upToDate()
  hand.rest()
  expect(hand.has('read')).toBe(true)
  hand.read([row(6, 'b')])
  wake(hand)
  expect(hand.has('read')).toBe(true)
})

it.each<readonly [string, (hand: ByHand) => void]>([
  ['before its first read', () => {}],
  ['while a line holds something', (hand) => hand.read([], { hasLines: true })],
  [
    'after a partition was gained',
    (hand) => {
      hand.read()
      hand.mind.gained([{ partition: 1, epoch: 1n }], 100_000)
    },
  ],
  [
    'after a partition was gained while it read',
    (hand) => {
      hand.mind.gained([{ partition: 1, epoch: 1n }], 100_000)
      hand.read()
    },
  ],
  [
    'while a key is to be read again',
    (hand) => {
      hand.read([row(5, 'a'), row(6, 'a')])
      hand.send(refused)
      hand.read()
      hand.write('block')
    },
  ],
])('asks for all there is %s', (_, begin) => {
  const hand = new ByHand()
  begin(hand)
  wake(hand)
  expect(hand.has('readNews')).toBe(false)
  expect(hand.has('read')).toBe(true)
})

it('asks for all there is when a hold ends', () => {
  const hand = new ByHand()
  hand.read([row(5, 'a')])
  hand.send(unreachable)
  hand.read()
  hand.now += 50
  wake(hand)
  expect(hand.has('readNews')).toBe(false)
  expect(hand.floor()).toBe(0n)
})
