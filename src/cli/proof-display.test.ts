import pc from 'picocolors'
import { describe, expect, it } from 'vitest'
import type { ProofView } from '../prove/view.ts'
import { Output } from './output.ts'
import { createProofDisplay, liveView, progressLine } from './proof-display.ts'

const view: ProofView = {
  phase: 'faults',
  fault: 'kill writer',
  elapsedSeconds: 12.4,
  seconds: 60,
  committed: 1234,
  effects: 1200,
  waiting: 34,
  lagMs: 56,
  faults: 3,
  processes: [
    { name: 'consumer-1', pid: 4711, state: 'running', kills: 2 },
    { name: 'writer', pid: null, state: 'starting', kills: 1 },
  ],
}

describe('what is shown of a proof that runs', () => {
  it('is what runs, which fault is on, operations and lag', () => {
    const text = liveView(view, 'waybill prove · local', pc.createColors(false))
    expect(text).toContain('waybill prove · local  12 of 60 s  fault: kill writer')
    expect(text).toMatch(/committed +1,234/u)
    expect(text).toMatch(/waiting +34 +lag 56 ms/u)
    expect(text).toMatch(/consumer-1 +4711 +2 +running/u)
    expect(text).toMatch(/writer +1 +starting/u)
    expect(progressLine({ ...view, fault: null })).toBe(
      '12/60 s | quiet | committed 1234 | effects 1200 | lag 56 ms',
    )
  })

  it('is a line for each fault and phase, and one now and then, where nobody can be shown a view', () => {
    const lines: string[] = []
    const stream = { write: (text: string) => lines.push(text.trimEnd()) }
    let time = 0
    const display = createProofDisplay(new Output(false, stream, stream, {}), 'title', { now: () => time })
    for (const [at, next] of [
      [0, view],
      [100, view],
      [200, { ...view, fault: null }],
      [300, { ...view, fault: null }],
      [5300, { ...view, fault: null }],
    ] as const) {
      time = at
      display.show(next)
    }
    display.end()
    expect(lines.map((line) => line.split(' | ')[1])).toEqual(['fault: kill writer', 'quiet', 'quiet'])
  })
})
