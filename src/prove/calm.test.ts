import { expect, test } from 'vitest'
import type { Query } from '../demo/database.ts'
import { Calm, type CalmParts } from './calm.ts'
import type { Marks } from './marks.ts'
import type { ProveSettings } from './settings.ts'
import type { Judged } from './tracks.ts'

/** Of a run whose database has so much under way each time it is asked. */
function calmOf(
  left: () => number,
  unmarked?: () => number,
  times: Pick<CalmParts, 'drainMs' | 'mostDrainMs' | 'unmarkedMs'> = { drainMs: 1 },
): Calm {
  const query: Query = async (text) => [{ n: text.includes('.outbox') ? left() : unmarked!() }]
  return new Calm({
    query,
    settings: { schema: 's', loadSchema: 'l' } as ProveSettings,
    tracks: unmarked === undefined ? [] : [{ isUnmarked: true } as Judged],
    marks: { begin: () => async () => true } as unknown as Marks,
    signal: new AbortController().signal,
    ...times,
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

test('the drain is given up where its end is not to be seen, as when each message is given up after many attempts', async () => {
  let left = 1_000_000
  expect(await calmOf(() => left--, undefined, { drainMs: 1, mostDrainMs: 20 }).drained()).toBe(false)
  expect(left).toBeGreaterThan(0)
})

test('a database that cannot be asked has brought nothing to its end', async () => {
  const refuse = (): number => {
    throw new Error('connection refused')
  }
  expect(await calmOf(refuse).drained()).toBe(false)
})

test('what may be lost behind a broker is waited for while it may still come', async () => {
  let unmarked = 1
  const calm = calmOf(
    () => 0,
    () => unmarked--,
    { drainMs: 60_000, unmarkedMs: 60_000 },
  )
  expect(await calm.drained()).toBe(true)
  expect(unmarked).toBeLessThan(0)
})

test('what was lost behind a broker is not waited for without end', async () => {
  const calm = calmOf(
    () => 0,
    () => 1,
    { drainMs: 60_000, unmarkedMs: 1 },
  )
  expect(await calm.drained()).toBe(true)
})
