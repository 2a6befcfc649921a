import { expect, test } from 'vitest'
import { mergedRows } from './merged-rows.ts'
import { busyMachine, type Row } from './rows.ts'

const row: Row = {
  guarantee: 'at-least-once',
  way: null,
  channel: null,
  consumer: null,
  fault: 'kill relay-1',
  verdict: 'valid',
  times: 1,
  messages: 10,
  rerun: 2,
  repeated: 1,
  lost: 0,
  dead: 0,
  recoveryMs: 400,
  anomalies: [],
  counterExample: null,
}

const vacuous: Row = {
  ...row,
  verdict: 'unknown',
  messages: 0,
  recoveryMs: null,
  anomalies: [{ kind: 'vacuous', id: 'fault', detail: 'it has hit nothing' }],
}

test('a fault that came several times is one row: sums, and the longest recovery', () => {
  const other = { ...row, guarantee: 'exactly-once', way: 'fenced' } as const
  const twice = [row, other, { ...row, rerun: 3, recoveryMs: 900 }, { ...row, recoveryMs: null }]
  expect(mergedRows(twice)).toEqual([
    { ...row, times: 3, messages: 30, rerun: 7, repeated: 3, recoveryMs: 900 },
    other,
  ])
})

test('what showed nothing one time was shown another time', () => {
  expect(mergedRows([vacuous, row])).toEqual([row])
  expect(mergedRows([vacuous, vacuous])).toMatchObject([{ verdict: 'unknown', times: 2 }])
})

test('what a busy machine excused most of the times is not known to hold', () => {
  const excused: Row = {
    ...row,
    verdict: 'unknown',
    anomalies: [{ kind: 'vacuous', id: busyMachine, detail: 'processes stood still' }],
  }
  expect(mergedRows([row, row, excused])).toMatchObject([{ verdict: 'valid', times: 2 }])
  expect(mergedRows([row, excused, excused])).toMatchObject([{ verdict: 'unknown', times: 2 }])
})

test('one failure is a failure, with the message it is shown by', () => {
  const lost = { kind: 'lost', id: 'm', detail: 'committed, without effect' } as const
  const counterExample = { ...lost, events: [] }
  const failed: Row = { ...row, verdict: 'invalid', anomalies: [lost], counterExample }
  expect(mergedRows([row, failed, vacuous])).toEqual([failed])
})
