import pc from 'picocolors'
import { describe, expect, it } from 'vitest'
import type { DemoReport } from '../demo/report.ts'
import { summary } from './demo-summary.ts'

const valid: DemoReport = {
  orders: 3012,
  rolledBack: 480,
  shipments: 3012,
  lost: 0,
  duplicated: 0,
  ghosts: 0,
  outOfOrder: 0,
  kills: 3,
  duplicatesSuppressed: 2,
  ordersPerSecond: 200.8,
  verdict: 'valid',
  reasons: [],
  killed: { 'shipping-1': 2, 'shipping-2': 0, shop: 1 },
  transport: 'local',
  without: null,
  seconds: 15,
  drainSeconds: 0.4,
  seed: 1,
}
const plain = pc.createColors(false)

describe('the summary', () => {
  it('says what was done, who was killed and that all is well', () => {
    const text = summary(valid, plain)
    expect(text).toMatch(/orders +3,012 +committed, 200\.8 per second/u)
    expect(text).toMatch(/kills +3 +by SIGKILL: shipping-1 2×, shop 1×/u)
    expect(text).toContain('VALID  Every committed order has exactly one shipment')
    expect(text).not.toContain('INVALID')
  })

  it('says that nobody was killed', () => {
    expect(summary({ ...valid, kills: 0, killed: { shop: 0 } }, plain)).toContain('nobody was killed')
  })

  it('gives the reasons against it, and what the part left out is for', () => {
    const reasons = ['3 shipments too many']
    const text = summary({ ...valid, duplicated: 3, verdict: 'invalid', reasons, without: 'inbox' }, plain)
    expect(text).toContain('INVALID\n  - 3 shipments too many\n')
    expect(text).toContain('what the inbox is for')
    expect(summary({ ...valid, verdict: 'invalid', reasons }, plain)).not.toContain('is for')
  })

  it('reddens what is wrong, and only that', () => {
    const { red, green } = pc.createColors(true)
    const text = summary({ ...valid, lost: 5 }, pc.createColors(true))
    expect(text).toContain(red('5'))
    expect(text).toContain(green('0'))
  })
})
