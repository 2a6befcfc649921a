import { expect, test } from 'vitest'
import { chanceOf } from '../testing.ts'
import { inTurns, repeatingFirst, shuffled } from './schedule.ts'

test('each kind has its turn before any has a second one, and nothing is left out', () => {
  const items = ['net 1', 'net 2', 'net 3', 'kill 1', 'kill 2', 'pause 1']
  const order = inTurns(items, (item) => item.split(' ')[0]!)
  expect(order).toEqual(['net 1', 'kill 1', 'pause 1', 'net 2', 'kill 2', 'net 3'])
  expect(inTurns([], String)).toEqual([])
})

test('one seed gives one order', () => {
  const items = Array.from({ length: 30 }, (_, i) => i)
  expect(shuffled(items, chanceOf(7))).toEqual(shuffled(items, chanceOf(7)))
  expect(shuffled(items, chanceOf(7))).not.toEqual(shuffled(items, chanceOf(8)))
})

test('what brings the messages of consumers again can have the first turn', () => {
  const order = [
    'kill writer',
    'lost commit writer-postgres',
    'lost commit consumers-postgres',
    'cut writer-postgres',
  ]
  expect(repeatingFirst(order, String)).toEqual([order[2], order[0], order[1], order[3]])
  expect(repeatingFirst(['kill writer'], String)).toEqual(['kill writer'])
})
