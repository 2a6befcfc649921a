import { describe, expect, it } from 'vitest'
import type { CensusLane, CensusRelay, CensusReport } from '../../kernel/census.ts'
import { summarise } from './summary.ts'
import { ageText } from './warnings.ts'

const at = new Date('2026-01-02T03:04:05Z')

function lane(more: Partial<CensusLane> = {}): CensusLane {
  return {
    channel: 'orders',
    transport: 'kafka',
    consumer: '',
    pending: 0,
    delayed: 0,
    isAtLeast: false,
    oldestMs: null,
    retrying: 0,
    blocked: 0,
    parked: 0,
    isFailingAtLeast: false,
    ...more,
  }
}

function relay(more: Partial<CensusRelay> = {}): CensusRelay {
  return {
    id: 'a',
    transport: 'kafka',
    consumer: '',
    host: 'here',
    pid: 7,
    application: 'shop',
    startedAt: at,
    isAlive: true,
    isPooled: false,
    partitions: 16,
    report: { inFlight: { orders: 3 }, perSecond: { orders: 10 }, stopped: [] },
    ...more,
  }
}

function report(more: Partial<CensusReport> = {}): CensusReport {
  return {
    at,
    lanes: [lane()],
    dead: [],
    relays: [relay()],
    partitions: [
      { transport: 'kafka', consumer: '', total: 16, isChanging: false, unownedCount: 0, unowned: [] },
    ],
    taken: 0,
    isTakenAtLeast: false,
    losses: [],
    transactions: [],
    ...more,
  }
}

const codesOf = (more: Partial<CensusReport>, known: readonly string[] = ['orders']): string[] =>
  summarise(report(more), new Set(known)).warnings.map(({ code }) => code)

describe('a summary', () => {
  it('sums up what living relays of the lane have in flight, and deliver', () => {
    const relays = [
      relay(),
      relay({ id: 'b' }),
      relay({ id: 'c', isAlive: false }),
      relay({ id: 'd', transport: 'other' }),
      relay({ id: 'e', consumer: 'shipping' }),
    ]
    const { channels } = summarise(report({ relays }), new Set())
    expect(channels).toEqual([expect.objectContaining({ inFlight: 6, perSecond: 20 })])
  })

  it('does not know what is in flight while a relay has not told', () => {
    const { channels } = summarise(report({ relays: [relay(), relay({ report: null })] }), new Set())
    expect(channels).toEqual([expect.objectContaining({ inFlight: null, perSecond: null })])
  })

  it('shows dead letters beside their lane, and those of consumers behind a broker apart', () => {
    const dead = [
      { channel: 'orders', consumer: '', count: 2, isAtLeast: false },
      { channel: 'orders', consumer: 'billing', count: 5, isAtLeast: false },
    ]
    const summary = summarise(report({ dead }), new Set(['orders']))
    expect(summary.channels).toEqual([expect.objectContaining({ dead: 2, isDeadAtLeast: false })])
    expect(summary.brokerDead).toEqual([dead[1]])
    expect(summary.warnings).toEqual([
      expect.objectContaining({ code: 'dead-letters', message: expect.stringContaining('7 dead letters') }),
    ])
  })

  it('does not say that a channel has none where only the newest were looked at', () => {
    const dead = [{ channel: 'others', consumer: '', count: 100, isAtLeast: true }]
    const { channels } = summarise(report({ dead }), new Set(['orders']))
    expect(channels).toEqual([expect.objectContaining({ dead: 0, isDeadAtLeast: true })])
  })
})

describe('what is counted up to a limit', () => {
  it('is said to be at least so much, also where nothing was found of what needs an operator', () => {
    const [found, none] = [lane({ blocked: 2, parked: 1 }), lane({ channel: 'mail' })]
    const lanes = [found, none].map((each) => ({ ...each, isFailingAtLeast: true }))
    const dead = [{ channel: 'orders', consumer: 'billing', count: 5, isAtLeast: true }]
    const { warnings } = summarise(report({ lanes, dead }), new Set(['orders', 'mail']))
    expect(warnings.map(({ code, message }) => [code, message])).toEqual([
      ['not-counted', expect.stringContaining('More has failed than is counted')],
      ['blocked-keys', expect.stringMatching(/^At least 2 keys/u)],
      ['parked-keys', expect.stringMatching(/^At least 1 key/u)],
      ['dead-letters', expect.stringContaining('has at least 5 dead letters')],
    ])
  })
})

describe('warnings', () => {
  it('are none where all is well', () => {
    expect(codesOf({})).toEqual([])
    expect(codesOf({ lanes: [lane({ pending: 5, oldestMs: 59_000 })] })).toEqual([])
  })

  it.each<[string, Partial<CensusReport>]>([
    ['not-counted', { lanes: null }],
    [
      'partitions-without-owner',
      {
        partitions: [
          {
            transport: 'kafka',
            consumer: '',
            total: 16,
            isChanging: false,
            unownedCount: 3,
            unowned: [1, 2, 3],
          },
        ],
      },
    ],
    ['unregistered-channel', { lanes: [lane({ channel: 'strange', transport: null, pending: 1 })] }],
    ['blocked-keys', { lanes: [lane({ blocked: 1 })] }],
    ['parked-keys', { lanes: [lane({ parked: 2 })] }],
    ['dead-letters', { dead: [{ channel: 'orders', consumer: '', count: 1, isAtLeast: false }] }],
    ['exactly-once-stopped', { relays: [relay({ report: { inFlight: {}, perSecond: {}, stopped: [4] } })] }],
    [
      'old-transaction',
      { transactions: [{ kind: 'session', name: 'job', pid: 5, ageMs: 90_000, hasWritten: false }] },
    ],
    [
      'prepared-transaction',
      { transactions: [{ kind: 'prepared', name: 'job', pid: null, ageMs: 90_000, hasWritten: true }] },
    ],
  ])('say what is wrong and what to do: %s', (code, more) => {
    const { warnings } = summarise(report(more), new Set(['orders']))
    expect(warnings).toEqual([
      expect.objectContaining({
        code,
        level: 'warning',
        message: expect.stringMatching(/\.$/u),
        action: expect.stringMatching(/\.$/u),
      }),
    ])
  })

  it.each<[Partial<CensusReport>, RegExp]>([
    [{ lanes: [lane({ parked: 1 })] }, /waybill dead replay --channel orders --key … /u],
    [
      { dead: [{ channel: 'orders', consumer: '', count: 1, isAtLeast: false }] },
      /waybill dead replay or waybill dead purge, with --id/u,
    ],
  ])('name the command for dead letters, which waybill replay is not: %j', (more, command) => {
    const [warning] = summarise(report(more), new Set(['orders'])).warnings
    expect(warning?.action).toMatch(command)
  })

  it.each<[string, Partial<CensusReport>]>([
    ['unknown-channel', { lanes: [lane({ channel: 'strange', delayed: 1 })] }],
    ['pooler', { relays: [relay({ isPooled: true })] }],
    [
      'partitions-changing',
      {
        partitions: [
          { transport: 'kafka', consumer: '', total: 16, isChanging: true, unownedCount: 0, unowned: [] },
        ],
      },
    ],
  ])('are notes where all may be as it is meant to be: %s', (code, more) => {
    const { warnings } = summarise(report(more), new Set(['orders']))
    expect(warnings).toEqual([expect.objectContaining({ code, level: 'note' })])
  })

  it('tell a channel that stands still, where relays hold all of it, nothing of it fails, and nothing goes', () => {
    const old = { pending: 1, oldestMs: 61_000 }
    const quiet = [relay({ report: { inFlight: {}, perSecond: {}, stopped: [] } })]
    expect(codesOf({ lanes: [lane(old)], relays: quiet })).toEqual(['nothing-delivered'])
    expect(codesOf({ lanes: [lane(old)] })).toEqual([])
    expect(codesOf({ lanes: [lane({ ...old, retrying: 1 })], relays: quiet })).toEqual([])
  })

  it('name the blocked keys that hold a change of partitions up, also where channels wait only for that', () => {
    const partitions = [
      { transport: 'kafka', consumer: '', total: 16, isChanging: true, unownedCount: 0, unowned: [] },
    ]
    const lanes = [lane({ blocked: 2 }), lane({ channel: 'mail', pending: 1, oldestMs: 61_000 })]
    const relays = [relay({ report: { inFlight: {}, perSecond: {}, stopped: [] } })]
    const { warnings } = summarise(report({ partitions, lanes, relays }), new Set(['orders', 'mail']))
    const action = expect.stringMatching(
      /2 blocked keys of channel "orders", which hold the change.*waybill keys list --state blocked/u,
    )
    expect(warnings).toEqual([
      expect.objectContaining({ code: 'nothing-delivered', subject: 'mail', action }),
      expect.objectContaining({ code: 'blocked-keys' }),
      expect.objectContaining({ code: 'partitions-changing', level: 'warning', action }),
    ])
  })

  it('name what belongs to a consumer by the consumer', () => {
    const partitions = [
      {
        transport: 'local',
        consumer: 'shipping',
        total: 4,
        isChanging: false,
        unownedCount: 4,
        unowned: [1, 2, 3, 4],
      },
    ]
    const { warnings } = summarise(report({ partitions }), new Set(['orders']))
    expect(warnings).toEqual([
      expect.objectContaining({
        subject: 'local › shipping',
        message: expect.stringContaining('None of the 4 partitions of consumer "shipping" (local) has'),
        action: expect.stringContaining('"shipping"'),
      }),
    ])
  })
})

it.each([
  [0, '0 s'],
  [123.4, '100 ms'],
  [9_876.5, '9.9 s'],
  [12_345.6, '12 s'],
  [3_725_000, '1 h 2 min'],
])('an age of %d ms reads %s', (ms, text) => {
  expect(ageText(ms)).toBe(text)
})
