import { expect, test } from 'vitest'
import { reportOf } from './report.ts'
import { noTime, type Row } from './rows.ts'

function row(fault: string, verdict: Row['verdict']): Row {
  return {
    guarantee: 'exactly-once',
    way: null,
    channel: null,
    consumer: null,
    fault,
    verdict,
    times: 1,
    messages: 9,
    rerun: 0,
    repeated: 0,
    lost: 0,
    dead: 0,
    recoveryMs: null,
    anomalies: [],
    counterExample: null,
  }
}

const well = ['none', 'a', 'b', 'c'].map((fault) => row(fault, 'valid'))
const quiet = { relay: ['all is well'] }

const course = { seed: 1, seconds: 60, memory: [], said: quiet, exits: {}, secrets: ['canary'] }

function verdict(rows: readonly Row[], said: Readonly<Record<string, readonly string[]>> = quiet): string {
  return reportOf({ ...course, rows, said }).verdict
}

test('a run is valid where every row is, and three faults at least have fired', () => {
  expect(verdict(well)).toBe('valid')
  expect(verdict([...well, row('d', 'not-run')])).toBe('valid')
  expect(verdict(well.slice(0, 3))).toBe('unknown')
  expect(verdict([...well, row('d', 'unknown')])).toBe('unknown')
  expect(verdict([...well, row('d', 'invalid'), row('e', 'unknown')])).toBe('invalid')
})

test('a run in which too few fired says that this is why nothing is known', () => {
  const left: Row = {
    ...row('d', 'not-run'),
    anomalies: [{ kind: 'vacuous', id: 'not run', detail: noTime }],
  }
  const why = (rows: readonly Row[]): readonly string[] => reportOf({ ...course, rows }).unseen
  expect(why([...well.slice(0, 3), left])).toEqual([
    expect.stringMatching(/^Only 2 of the faults .* More --seconds/u),
  ])
  // Where all there are have run, more time brings no others.
  expect(why(well.slice(0, 3))).toEqual([
    expect.stringMatching(/^Only 2 of the faults .* More classes of --faults/u),
  ])
  expect(reportOf({ ...course, rows: well }).unseen).toEqual([])
  expect(reportOf({ ...course, rows: [row('a', 'invalid')] }).unseen).toEqual([])
})

test('a secret in a log, or an error that nobody handled, is no less a fault than a lost message', () => {
  expect(verdict(well, { relay: ['the payload is canary'] })).toBe('invalid')
  expect(verdict(well, { relay: ['unhandledRejection: boom'] })).toBe('invalid')
  expect(verdict(well, { relay: ['FATAL: terminating connection'] })).toBe('invalid')
  // A handler may tell what its database said when its connection was ended.
  const consumer = ["severity: 'FATAL'"]
  const own = { ...course, rows: well, handlersSpeak: true }
  expect(reportOf({ ...own, said: { consumer } }).verdict).toBe('valid')
  expect(reportOf({ ...own, said: { consumer: ['Uncaught Exception'] } }).verdict).toBe('invalid')
})

test('a process that ends by itself at its work is a fault, and is told of handlers of the user, who may end theirs', () => {
  const exits = { 'relay-1': ['exit code 1'] }
  const own = reportOf({ ...course, rows: well, exits })
  expect(own.verdict).toBe('invalid')
  expect(own.logs.anomalies).toMatchObject([{ kind: 'crashed', id: 'relay-1' }])
  const theirs = reportOf({ ...course, rows: well, exits, handlersSpeak: true })
  expect(theirs.verdict).toBe('valid')
  expect(theirs.unseen).toEqual(['The process relay-1 ended by itself (exit code 1).'])
})

test('memory that grows in a long run is a fault, but not that of handlers of the user', () => {
  const memory = [{ process: 'relay-1', highest: 400, first: 100, last: 200 }]
  const long = { ...course, rows: well, memory, seconds: 600 }
  expect(reportOf(long)).toMatchObject({
    verdict: 'invalid',
    logs: { anomalies: [{ kind: 'grew', id: 'relay-1' }] },
  })
  expect(reportOf({ ...long, handlersSpeak: true }).verdict).toBe('valid')
  expect(reportOf({ ...long, seconds: 599 }).verdict).toBe('valid')
})

test('a report names the rows of the matrix that wait, and what they wait for', () => {
  const { waiting } = reportOf({ ...course, rows: well })
  expect(waiting).toContainEqual({
    for: 'two-phase commit',
    rows: expect.arrayContaining(['T1', 'T11']),
    isInPart: false,
  })
})
