import { describe, expect, it } from 'vitest'
import { isFull } from '../setup/full.ts'
import { runWaybill } from './waybill-command.ts'

interface Report {
  readonly verdict: string
  readonly seed: number
  readonly rows: readonly { readonly guarantee: string; readonly fault: string; readonly verdict: string }[]
}

describe('waybill prove', () => {
  it.each([
    ['--guarantee', 'exactly-onse', 'is no guarantee. Did you mean "exactly-once"?'],
    ['--faults', 'kil', 'is no class of faults. Did you mean "kill"?'],
    ['--seconds', '3', 'from 15 to 86400'],
    ['--seed', 'x', 'a whole number'],
    ['--database-url', 'secret', 'a URL such as postgres://'],
  ])('refuses %s %s as a usage error, and says what it takes', async (flag, value, message) => {
    const { code, stdout, stderr } = await runWaybill(['prove', flag, value])
    expect([code, stdout]).toEqual([2, ''])
    expect(stderr).toContain(message)
    expect(stderr).not.toContain('secret')
  })

  it('tells a database that does not answer from a guarantee that did not hold', async () => {
    const url = 'postgres://nobody:secret@127.0.0.1:1/none'
    const { code, stdout, stderr } = await runWaybill(['prove', '--database-url', url, '--json'])
    expect(code).toBe(1)
    expect(JSON.parse(stdout)).toMatchObject({ error: { code: 'WB_STORE_UNREACHABLE' } })
    expect(stderr).not.toContain('secret')
  })

  // In the full run: it takes its time.
  it.each(isFull ? ['kill,sessions'] : [])(
    'shows that exactly-once holds under the faults %s',
    { timeout: 120_000 },
    async (faults) => {
      const args = ['prove', '--guarantee', 'exactly-once', '--faults', faults, '--seconds', '40']
      const { code, stdout, stderr } = await runWaybill([...args, '--seed', '7', '--json'])
      const report = JSON.parse(stdout) as Report
      expect(report, stderr).toMatchObject({ verdict: 'valid', seed: 7 })
      expect(code).toBe(0)
      expect(report.rows.map(({ fault }) => fault).toSorted()).toEqual([
        'kill consumer-1',
        'kill consumer-2',
        'kill writer',
        'none',
        'terminate backends',
      ])
      expect(stderr).toContain('VALID')
    },
  )
})
