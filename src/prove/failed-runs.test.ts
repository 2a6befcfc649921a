import { expect, test } from 'vitest'
import { event } from '../../test/fakes/history.ts'
import { at, messages, rows, verdicts, well } from '../../test/fakes/track-evidence.ts'
import type { HistoryEvent } from '../testing.ts'

const pair = { channel: 'orders', consumer: 'shipping' }
const first = messages.find(({ id }) => id === 'm03')!

/** A run of this message that leaves no effect, before the one in `well`, and how it ended. */
function run(id: string, process: string, ends: boolean): readonly HistoryEvent[] {
  const begun = at(first.at + 2, { ...event('invoke', 'handle', id), process })
  return ends ? [begun, at(first.at + 3, { ...event('fail', 'handle', id), process })] : [begun]
}

test('a handler of theirs that fails and is tried again speaks against nothing, without a fault too', () => {
  const history = [...well, ...run('m03', 'c1', true)]
  for (const guarantee of ['at-least-once', 'effectively-once', 'exactly-once'] as const) {
    const found = rows(guarantee, history, { pair })
    expect(verdicts(found)).toEqual(['valid', 'valid', 'valid'])
    expect(found[0]).toMatchObject({ rerun: 1 })
  }
  // Its own load does not fail, and what is handed over at most once is not tried again.
  expect(verdicts(rows('exactly-once', history))).toEqual(['invalid', 'valid', 'valid'])
  expect(verdicts(rows('at-most-once', history, { pair }))[0]).toBe('invalid')
})

test('an error undoes what ran in its transaction, and nothing of another process', () => {
  const along = [...well, ...run('m03', 'c1', false)]
  const failed = (process: string): HistoryEvent =>
    at(first.at + 3, { ...event('fail', 'handle', 'm02'), process })
  expect(verdicts(rows('exactly-once', [...along, failed('c1')], { pair }))[0]).toBe('valid')
  expect(verdicts(rows('exactly-once', [...along, failed('c2')], { pair }))[0]).toBe('invalid')
})

test('a run that comes again though no handler failed is told', () => {
  const found = rows('exactly-once', [...well, ...run('m03', 'c1', false)], { pair })
  expect(found[0]).toMatchObject({ verdict: 'invalid', anomalies: [{ kind: 'redelivered', id: 'm03' }] })
})
