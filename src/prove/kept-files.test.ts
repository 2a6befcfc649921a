import { readFileSync, rmSync, statSync } from 'node:fs'
import { describe, expect, it, onTestFinished } from 'vitest'
import { type HistoryEvent, readHistory } from '../testing.ts'
import { keepHistory, keepSaid } from './kept-files.ts'

const runId = `waybill_prove_test_${process.pid}`

/** What it kept, gone after the test. */
function kept(path: string): string {
  onTestFinished(() => {
    rmSync(path)
  })
  // It tells keys and times of somebody's messages.
  expect(statSync(path).mode & 0o777).toBe(0o600)
  return path
}

describe('what a run keeps', () => {
  it('is its history, which can be read again', () => {
    const event = { process: 'p', type: 'ok', f: 'effect', key: 'k', id: 'a' } as const
    const events: readonly HistoryEvent[] = [
      { ...event, seq: 1, t: 5 },
      { ...event, seq: 2, t: 6 },
    ]
    expect(readHistory([kept(keepHistory(runId, events))])).toEqual(events)
  })

  it('is what its processes said, each line with the number that a finding names, and no secret', () => {
    const said = { 'consumer-1': ['one', 'a hunter2 and a hunter2'], writer: ['three'] }
    const path = kept(keepSaid(runId, said, ['hunter2', 'canary']))
    expect(readFileSync(path, 'utf8')).toBe(
      'consumer-1 1 one\nconsumer-1 2 a [secret] and a [secret]\nwriter 1 three\n',
    )
  })
})
