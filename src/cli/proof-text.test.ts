import pc from 'picocolors'
import { describe, expect, it } from 'vitest'
import type { ProofReport } from '../prove/report.ts'
import { noTime, notRun, type Row } from '../prove/rows.ts'
import type { HistoryEvent } from '../testing.ts'
import { waiting } from '../prove/waiting.ts'
import { proofText } from './proof-text.ts'

const row: Row = {
  guarantee: 'exactly-once',
  way: null,
  channel: null,
  consumer: null,
  fault: 'kill writer',
  verdict: 'valid',
  times: 2,
  messages: 120,
  rerun: 3,
  repeated: 0,
  lost: 1,
  dead: 4,
  recoveryMs: 1234,
  anomalies: [],
  counterExample: null,
}

const page = { colors: pc.createColors(false), width: 120 }

function text(
  rows: readonly Row[],
  verdict: ProofReport['verdict'],
  { history, said }: Pick<ProofReport, 'history' | 'said'> = { history: null, said: null },
): string {
  const logs = { checker: 'cleanLogs', checked: 1, anomalies: [] }
  const memory = [{ process: 'relay-1', highest: 120.5, first: 98, last: 101.2 }]
  const replay = 'waybill prove --faults kill --seconds 60 --seed 7'
  const unseen = ['shipping has handled no message a second time']
  return proofText(
    { verdict, seed: 7, seconds: 60, rows, logs, memory, unseen, history, said, waiting, replay },
    page,
  )
}

describe('what a proof has shown', () => {
  it('is a row for each guarantee and fault that ran, and the command that does it again', () => {
    const shown = text([row, { ...row, fault: 'cut writer', verdict: 'not-run' }], 'valid')
    expect(shown).toMatch(/exactly-once +kill writer +yes +2 +120 +3 +0 +1 +4 +1\.2 s/u)
    expect(shown).toContain('There was no time for: cut writer. More --seconds run more.')
    expect(shown).toContain('shipping has handled no message a second time')
    expect(shown).toContain('VALID  Every guarantee held under every fault that ran.')
    expect(shown).toContain('The same chances again: waybill prove --faults kill --seconds 60 --seed 7')
    expect(shown).toMatch(/^Not to be shown yet: .*two-phase commit \(T1, .*T11\)\.$/mu)
    expect(shown).toMatch(/^Shown here, and not yet for another adapter: RabbitMQ \(F8, .*MySQL \(F2, /mu)
    expect(shown).toContain('Memory in MB: relay-1 98 at first, 101.2 at last, 120.5 at most.')
    expect(shown).not.toContain('merged')
  })

  it('says whether it was a guarantee that did not hold', () => {
    expect(text([{ ...row, verdict: 'invalid' }], 'invalid')).toContain('INVALID  A guarantee did not hold.')
    expect(text([row], 'invalid')).toContain(
      'INVALID  Every guarantee held, and a process said or did what none may.',
    )
  })

  it('says what did not run, and why', () => {
    const left = (fault: string, why: string): Row => notRun(row, fault, why)
    const rows = [row, left('clock', 'it takes the Debian package faketime'), left('cut writer', noTime)]
    const shown = text(rows, 'valid')
    expect(shown).toContain('Not run: clock; it takes the Debian package faketime.')
    expect(shown).toContain('There was no time for: cut writer. More --seconds run more.')
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

  it('tells what is known of that message, and where the history of all stands', () => {
    const about = { kind: 'lost', id: 'm1', detail: 'committed, without effect' } as const
    const event = { process: 'writer', f: 'write', key: 'k1', seq: null, id: 'm1', t: 5000 } as const
    const events: readonly HistoryEvent[] = [
      { ...event, type: 'invoke' },
      { ...event, type: 'ok', seq: 4, t: 7500 },
      ...Array.from({ length: 14 }, () => ({ ...event, type: 'info' as const, t: 9000 })),
    ]
    const invalid = { ...row, verdict: 'invalid', anomalies: [about] } as const
    const shown = text([{ ...invalid, counterExample: { ...about, events } }], 'invalid', {
      history: '/tmp/all.ndjson',
      said: '/tmp/all.log',
    })
    expect(shown).toMatch(/\+0\.0 ms {2}writer +write begun of k1/u)
    expect(shown).toMatch(/\+2\.5 ms {2}writer +write done, number 4 of k1/u)
    expect(shown).toContain('and 4 events more')
    expect(shown).toContain('What happened, merged: /tmp/all.ndjson')
    expect(shown).toContain('What processes said: /tmp/all.log')
  })

  it('says where a run has shown too little', () => {
    expect(text([{ ...row, verdict: 'unknown' }], 'unknown')).toContain('UNKNOWN  Nothing wrong was seen')
  })
})
