import { expect, test } from 'vitest'
import type { Query } from '../../demo/database.ts'
import { doubtsOf } from './evidence.ts'

const place = { schema: 'run', loadSchema: 'run_load', copies: 'run_copies' }

function doubts(
  guarantee: 'effectively-once' | 'exactly-once',
  wouldShow: boolean,
  row: object = {},
): Promise<readonly string[]> {
  const query: Query = async () => [{ hasEffects: true, hasActed: true, failing: 0, code: null, ...row }]
  const names = { channel: 'stock.set', consumer: 'run.stock' }
  const pair = { channel: 'stock.set', consumer: 'stock' }
  const rest = { way: null, hasFollow: false, hasMoney: false, isUnmarked: false }
  return doubtsOf(query, place, { ...rest, name: 'stock.set/stock', guarantee, names, pair }, { wouldShow })
}

test('a handler that no message came to again so that it would show is not known to be idempotent', async () => {
  expect(await doubts('effectively-once', true)).toEqual([])
  const [doubt] = await doubts('effectively-once', false)
  expect(doubt).toContain('stock has handled no message of stock.set a second time')
  expect(doubt).toContain('"lost commit" among --faults')
  // Of others nobody asks for it, and what was never handled at all is told in place of it.
  expect(await doubts('exactly-once', false)).toEqual([])
  expect(await doubts('effectively-once', false, { hasEffects: false })).toEqual([
    'stock has handled no message of stock.set to the end',
  ])
})
