import { expect, test } from 'vitest'
import type { Query } from '../demo/database.ts'
import { Calm } from './calm.ts'
import type { Marks } from './marks.ts'
import type { ProveSettings } from './settings.ts'

/** Of a run whose database has so much under way each time it is asked. */
function calmOf(left: () => number): Calm {
  const query: Query = async () => [{ n: left() }]
  return new Calm({
    query,
    settings: { schema: 's', loadSchema: 'l' } as ProveSettings,
    tracks: [],
    marks: { begin: () => async () => true } as unknown as Marks,
    signal: new AbortController().signal,
    drainMs: 1,
  })
}

test('the drain goes on for as long as something comes to its end, however slowly', async () => {
  let left = 8
  expect(await calmOf(() => Math.max(0, left--)).drained()).toBe(true)
  expect(left).toBeLessThan(0)
})

test('the drain is given up where nothing comes to its end any more', async () => {
  let left = 8
  expect(await calmOf(() => Math.max(3, left--)).drained()).toBe(false)
})

test('a database that cannot be asked has brought nothing to its end', async () => {
  const refuse = (): number => {
    throw new Error('connection refused')
  }
  expect(await calmOf(refuse).drained()).toBe(false)
})
