import { describe, expect, it } from 'vitest'
import { noTime, notRun, type Row } from '../../src/prove/rows.ts'
import { type ProofRun, withRuns } from './runs.ts'
import { seenSection } from './seen.ts'

const row: Row = {
  guarantee: 'at-least-once',
  way: null,
  channel: null,
  consumer: null,
  fault: 'kill kafka',
  verdict: 'valid',
  times: 1,
  messages: 100,
  rerun: 2,
  repeated: 1,
  lost: 0,
  dead: 0,
  recoveryMs: 1230,
  anomalies: [],
  counterExample: null,
}

const fenced = { ...row, guarantee: 'exactly-once', way: 'fenced', rerun: 0, repeated: 0 } as const

const clean: ProofRun['logs'] = { checker: 'clean logs', checked: 1200, anomalies: [] }

function runOf(rows: readonly Row[], i: number): ProofRun {
  return {
    transport: 'kafka',
    seed: i + 1,
    date: '2026-01-31',
    on: 'Node 24, 2 cores',
    seconds: 60,
    tookSeconds: 66.4,
    verdict: 'valid',
    rows,
    logs: clean,
    memory: [{ process: 'relay-1', first: 100.5, last: 101, highest: 130 }],
  }
}

function section(...runs: readonly (readonly Row[])[]): string {
  return seenSection(runs.map(runOf))
}

describe('what runs have seen', () => {
  it('is a table of faults and tracks, over all seeds, with the longest recovery', () => {
    const none = { ...row, fault: 'none', rerun: 0, repeated: 0, recoveryMs: null }
    const text = section([row, fenced, none], [{ ...row, recoveryMs: 2340 }, fenced])
    expect(text).toContain(
      '| `waybill prove --transport kafka --seconds 60 --seed 2` | 2026-01-31 | Node 24, 2 cores | 66 s | 1 | valid |',
    )
    expect(text).toContain('### Over Kafka')
    expect(text).toContain('| fault | at-least-once | exactly-once (fenced) | recovered in |')
    expect(text).toContain('| kill kafka | 200, 4 rerun, 2 repeated | 200 | 2.3 s |')
    expect(text.indexOf('| none | 100 |')).toBeLessThan(text.indexOf('| kill kafka |'))
    expect(text).not.toContain('shows nothing')
  })

  it('tells the memory of each process, how many lines of log were looked at, and what was wrong there', () => {
    expect(section([row])).toContain('| kafka, seed 1 | relay-1 | 100.5 | 101 | 130 |')
    expect(section([row])).toContain('1,200 lines')
    const secret = { kind: 'leaked', id: 'relay-1', detail: 'line 3 has the password' } as const
    const run = { ...runOf([row], 0), logs: { ...clean, anomalies: [secret] } }
    const text = seenSection([run])
    expect(text).toContain('- kafka, seed 1, in the logs: leaked, line 3 has the password')
  })

  it('hides nothing that does not hold behind other seeds, and says why', () => {
    const lost = { kind: 'lost', id: 'm1', detail: 'committed, without effect' } as const
    const text = section([row], [{ ...row, verdict: 'invalid', anomalies: [lost] }])
    expect(text).toContain('| kill kafka | **NO** 200')
    expect(text).toContain(
      '- kafka, seed 2, at-least-once, kill kafka: invalid: lost, committed, without effect',
    )
  })

  it('says what showed nothing, and what did not run, though another seed has shown it', () => {
    const vacuous = { kind: 'vacuous', id: 'fault', detail: 'it has hit nothing' } as const
    const text = section(
      [row, fenced, notRun(fenced, 'clock', 'it takes the Debian package faketime')],
      [{ ...row, verdict: 'unknown', anomalies: [vacuous] }, notRun(fenced, 'kill kafka', noTime)],
    )
    expect(text).toContain('| kill kafka | 200, 4 rerun, 2 repeated | 100 |')
    expect(text).toContain('- kafka, seed 2, at-least-once, kill kafka: unknown: vacuous, it has hit nothing')
    expect(text).toContain('- kafka, seed 1, not run (it takes the Debian package faketime): clock')
    expect(text).toContain('- kafka, seed 2, not run (there was no time): kill kafka')
  })
})

describe('runs that are played again', () => {
  it('take the place of all over their transport, and of no other', () => {
    const kafka = [runOf([], 0), runOf([], 1)]
    const local = { ...runOf([], 0), transport: 'local' } as const
    const again = { ...runOf([], 0), verdict: 'invalid' } as const
    expect(withRuns([...kafka, local], [again])).toEqual([local, again])
    expect(withRuns([], kafka)).toEqual(kafka)
  })
})
