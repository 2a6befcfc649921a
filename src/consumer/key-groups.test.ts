import fc from 'fast-check'
import { expect, it } from 'vitest'
import { keyGroups } from './key-groups.ts'

const item = fc.record({ key: fc.constantFrom('a', 'b', 'c', null), id: fc.nat() })

it('keeps every item once, those of a key together and in order, in no more groups than asked for', () => {
  fc.assert(
    fc.property(fc.array(item), fc.integer({ min: 1, max: 5 }), (items, count) => {
      const groups = keyGroups(items, ({ key }) => key, count)
      expect(groups.length).toBeLessThanOrEqual(count)
      expect(groups.flat().length).toBe(items.length)
      expect(new Set(groups.flat())).toEqual(new Set(items))
      for (const key of ['a', 'b', 'c']) {
        const own = groups.filter((group) => group.some((each) => each.key === key))
        expect(own.length).toBeLessThanOrEqual(1)
        expect(own.flat().filter((each) => each.key === key)).toEqual(
          items.filter((each) => each.key === key),
        )
      }
    }),
  )
})

it('spreads what has no key, and keys that are new, over the groups', () => {
  const items = ['a', null, 'b', null].map((key, id) => ({ key, id }))
  expect(keyGroups(items, ({ key }) => key, 2).map((group) => group.map(({ id }) => id))).toEqual([
    [0, 2],
    [1, 3],
  ])
})
