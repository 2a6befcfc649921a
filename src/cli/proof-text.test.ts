import pc from 'picocolors'
import { describe, expect, it } from 'vitest'
import type { ProofReport } from '../prove/report.ts'
import type { Row } from '../prove/rows.ts'
import { proofText } from './proof-text.ts'

const row: Row = {
  guarantee: 'exactly-once',
  fault: 'kill writer',
  verdict: 'valid',
  messages: 120,
  rerun: 3,
  repeated: 0,
  lost: 0,
  recoveryMs: 1234,
  anomalies: [],
}

const page = { colors: pc.createColors(false), width: 120 }

function text(rows: readonly Row[], verdict: ProofReport['verdict']): string {
  const logs = { checker: 'cleanLogs', checked: 1, anomalies: [] }
  return proofText({ verdict, seed: 7, seconds: 60, rows, logs }, page)
}

describe('what a proof has shown', () => {
  it('is a row for each guarantee and fault that ran, and the command that does it again', () => {
    const shown = text([row, { ...row, fault: 'cut writer', verdict: 'not-run' }], 'valid')
    expect(shown).toMatch(/exactly-once +kill writer +yes +120 +3 +0 +0 +1\.2 s/u)
    expect(shown).toContain('There was no time for: cut writer. More --seconds run more.')
    expect(shown).toContain('VALID  Every guarantee held under every fault that ran.')
    expect(shown).toContain('waybill prove --seconds 60 --seed 7')
  })

  it('names the first message of which a guarantee did not hold, and how many more there are', () => {
    const anomalies = ['m1', 'm2'].map((id) => ({
      kind: 'lost' as const,
      id,
      detail: 'committed, without effect',
    }))
    const shown = text([{ ...row, verdict: 'invalid', anomalies }], 'invalid')
    expect(shown).toMatch(/kill writer +NO/u)
    expect(shown).toContain('exactly-once, kill writer: lost m1: committed, without effect, and 1 more')
    expect(shown).toContain('INVALID  A guarantee did not hold.')
  })

  it('says where a run has shown too little', () => {
    expect(text([{ ...row, verdict: 'unknown' }], 'unknown')).toContain('UNKNOWN  Nothing wrong was seen')
  })
})
