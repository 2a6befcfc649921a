import pc from 'picocolors'
import { describe, expect, it } from 'vitest'
import type { DemoView } from '../demo/view.ts'
import { createDisplay, liveView, progressLine } from './demo-display.ts'
import { Output } from './output.ts'

const view: DemoView = {
  phase: 'running',
  elapsedSeconds: 5,
  seconds: 15,
  orders: 1234,
  shipments: 1200,
  copies: 0,
  depth: 12,
  lagMs: 34,
  kills: 4,
  duplicatesSuppressed: 7,
  lastKilled: 'shop',
  processes: [
    { name: 'shipping-1', note: 'relay inside', pid: 4711, state: 'running', kills: 3 },
    { name: 'shop', note: '', pid: null, state: 'starting', kills: 1 },
  ],
}

describe('the live view', () => {
  const text = liveView(view, 'waybill demo · local', pc.createColors(false))

  it('shows orders, outbox, lag, kills, duplicates and shipments', () => {
    expect(text).toContain('waybill demo · local  5 of 15 s')
    expect(text).toMatch(/orders +1,234 +247 per second/u)
    expect(text).toMatch(/outbox +12 +lag 34 ms/u)
    expect(text).toMatch(/shipments +1,200/u)
    expect(text).toMatch(/duplicates suppressed +7/u)
    expect(text).toMatch(/kills +4 +last shop/u)
  })

  it('shows each process, and where the relays are when they have none of their own', () => {
    expect(text).toMatch(/shipping-1 \(relay inside\) +4711 +3 +running/u)
    expect(text).toMatch(/shop +1 +starting/u)
  })

  it('fits on a narrow terminal', () => {
    for (const line of text.split('\n')) expect(line.trimEnd().length).toBeLessThanOrEqual(80)
  })
})

describe('without a terminal', () => {
  it('is one line', () => {
    expect(progressLine(view)).toBe(
      'running 5/15 s | orders 1234 (247/s) | outbox 12 (lag 34 ms) | shipments 1200 | duplicates suppressed 7 | kills 4 (last shop)',
    )
    expect(progressLine({ ...view, elapsedSeconds: 0, lastKilled: null, kills: 0 })).toMatch(
      /\(0\/s\).*kills 0$/u,
    )
  })

  it('tells each second and each new phase', () => {
    const lines: string[] = []
    let now = 0
    const output = new Output(false, { write() {} }, { write: (text) => lines.push(text) }, {})
    const display = createDisplay(output, 'title', { now: () => now })
    for (const [at, phase] of [
      [0, 'running'],
      [500, 'running'],
      [1000, 'running'],
      [1200, 'draining'],
      [1900, 'draining'],
      [2200, 'draining'],
    ] as const) {
      now = at
      display.show({ ...view, phase })
    }
    display.end()
    expect(lines.map((line) => line.split(' ')[0])).toEqual(['running', 'running', 'draining', 'draining'])
  })
})
