import pc from 'picocolors'
import { describe, expect, it } from 'vitest'
import { facts, type FactsOf } from '../../test/fakes/facts.ts'
import { compile } from '../guarantees/compile.ts'
import { overviewText, planText } from './plan-text.ts'

const colors = pc.createColors(false)
const plain = { colors, width: 80 }
const exact = { guarantee: 'exactly-once' } as const

const all: readonly FactsOf[] = [
  {},
  { channel: { ...exact, name: 'x'.repeat(60) } },
  { channel: exact, transport: 'rabbitmq', consumers: [{ name: 'a-consumer-with-a-long-name' }, {}] },
  { channel: exact, consumers: [{ form: 'checkpoint' }, { name: 'etl', transforms: true }] },
  { channel: { guarantee: 'at-most-once' } },
  { channel: { guarantee: 'at-most-once', isStored: false }, transport: 'udp' },
  { channel: exact, transport: 'local' },
  { channel: { guarantee: 'effectively-once' } },
  { transport: 'udp' },
]
const verdicts = all.map((of) => compile(facts(of)))

describe('planText', () => {
  it.each([80, 70, 60])('fits into %d columns, whatever the plan', (width) => {
    expect(new Set(verdicts.map(({ kind }) => kind))).toEqual(new Set(['plan', 'refusal']))
    const page = { colors, width }
    for (const text of [...verdicts.map((each) => planText(each, page)), overviewText(verdicts, page)]) {
      // A word that is longer than its line stands alone, and a long name with its guarantee.
      const tooLong = text
        .split('\n')
        .filter((line) => line.length > width && line.trim().includes(' ') && !line.startsWith('xxx'))
      expect(tooLong).toEqual([])
    }
  })

  it('shows the hops as a flow, then what may still happen, then the windows', () => {
    const text = planText(compile(facts({ channel: exact })), plain)
    expect(text).toMatch(/^orders {2}exactly-once\npublish → relay: fence → kafka → shipping: inbox\n/u)
    expect(text).toMatch(/\npublish .*\n[^]*\n {2}│\nrelay .*[^]*\nkafka .*[^]*\nshipping /u)
    // The last hop leads nowhere.
    expect(text.slice(text.indexOf('\nshipping '))).not.toContain('│')
    expect(text).toMatch(/What may still happen\n {2}· Effects outside the transaction/u)
    expect(text).toMatch(/\n {2}15 s +lease of a relay \(leaseMs\)\n +then another relay takes over/u)
    expect(text).toContain("form: 'checkpoint'")
    expect(planText(compile(facts({})), plain)).toContain('\nor send() ')
  })

  it('shows a refusal with its reason and the nearest choice', () => {
    const text = planText(compile(facts({ transport: 'udp' })), plain)
    expect(text).toMatch(
      /^orders {2}at-least-once {2}REFUSED\n {2}why +Channel "orders" cannot be at-least-once/u,
    )
    expect(text).toMatch(/\n {2}nearest +guarantee: 'at-most-once'\n/u)
    expect(text).toMatch(/\n {2}reason +transport-does-not-confirm \(transport\)$/u)
  })

  it('is coloured only where colours are wanted', () => {
    const verdict = compile(facts({ transport: 'rabbitmq', channel: exact }))
    // oxlint-disable-next-line no-control-regex
    const escape = /\u001B\[/u
    expect(planText(verdict, plain)).not.toMatch(escape)
    expect(planText(verdict, { ...plain, colors: pc.createColors(true) })).toMatch(escape)
  })
})

describe('overviewText', () => {
  it('has a line for each channel, and tells in full what is refused and what is warned of', () => {
    const text = overviewText(
      [compile(facts({ transport: 'udp', channel: { name: 'views' } })), ...verdicts.slice(2, 3)],
      plain,
    )
    expect(text).toMatch(/\nviews +at-least-once +refused, see below\n/u)
    expect(text).toMatch(/\norders +exactly-once +publish → relay: confirm → rabbitmq →/u)
    expect(text).toMatch(/\nviews {2}at-least-once {2}REFUSED\n/u)
    expect(text).toMatch(/\norders\n {2}· "rabbitmq" sets no end/u)
  })
})
