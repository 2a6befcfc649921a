import pc from 'picocolors'
import { describe, expect, it } from 'vitest'
import type { ChannelSummary, StatusSummary } from '../app/inspection/summary.ts'
import { statusText } from './status-text.ts'

const page = { colors: pc.createColors(false), width: 80 }
const at = new Date('2026-01-02T03:04:05Z')

function channel(more: Partial<ChannelSummary> = {}): ChannelSummary {
  return {
    channel: 'orders.placed',
    transport: 'kafka',
    consumer: '',
    pending: 0,
    delayed: 0,
    isAtLeast: false,
    lagMs: null,
    inFlight: 0,
    perSecond: 0,
    retrying: 0,
    blocked: 0,
    parked: 0,
    isFailingAtLeast: false,
    dead: 0,
    isDeadAtLeast: false,
    ...more,
  }
}

function status(more: Partial<StatusSummary> = {}): StatusSummary {
  return {
    at,
    channels: [channel()],
    brokerDead: [],
    relays: [],
    partitions: [],
    taken: 0,
    isTakenAtLeast: false,
    losses: [],
    transactions: [],
    warnings: [],
    ...more,
  }
}

const huge = channel({
  channel: 'a.channel.with.a.name.that.is.longer.than.any.column',
  consumer: 'a-consumer-of-that-kind',
  pending: 100_000,
  isAtLeast: true,
  lagMs: 88_888_888,
  inFlight: 10_000,
  perSecond: 123_456.7,
  retrying: 10_000,
  blocked: 1000,
  parked: 1000,
  isFailingAtLeast: true,
  dead: 100_000,
  isDeadAtLeast: true,
  delayed: 7,
})

describe('the status for people', () => {
  it('fits into 80 columns, whatever names and figures', () => {
    const full = status({
      channels: [huge, channel()],
      brokerDead: [{ channel: 'orders.placed', consumer: 'billing', count: 12, isAtLeast: true }],
      relays: [
        {
          id: 'a',
          transport: 'kafka',
          consumer: '',
          host: 'a-very-long-host-name.some.domain.example.com',
          pid: 123_456,
          application: 'an application of some sort',
          startedAt: new Date(0),
          isAlive: false,
          isPooled: false,
          partitions: 16,
          report: null,
        },
      ],
      losses: [
        { channel: huge.channel, consumer: huge.consumer, cause: 'handler-failed', count: 12_345_678 },
      ],
      warnings: [
        {
          code: 'dead-letters',
          level: 'warning',
          subject: 'x',
          message: `${'word '.repeat(40)}.`,
          action: `${'do '.repeat(60)}.`,
        },
      ],
    })
    const text = statusText(full, page)
    expect(Math.max(...text.split('\n').map((line) => line.length))).toBeLessThanOrEqual(80)
    for (const words of ['≥ 100,000', '1 d', '7 delayed', 'gone: ', 'Look at this'])
      expect(text).toContain(words)
  })

  it('shows what is not known as such', () => {
    expect(statusText(status({ channels: null }), page)).toContain('could not be counted')
    expect(statusText(status({ channels: [channel({ inFlight: null, perSecond: null })] }), page)).toMatch(
      / \? .* \?$/mu,
    )
    expect(statusText(status({ channels: [] }), page)).toContain('waybill migrate')
  })

  it('counts keys as people do', () => {
    const text = statusText(status({ channels: [channel({ blocked: 1, parked: 2 })] }), page)
    expect(text).toContain('1 blocked key, 2 parked keys')
  })

  it('marks as lower limits what was counted up to a limit', () => {
    const failing = channel({ retrying: 20_000, blocked: 3, isFailingAtLeast: true })
    const brokerDead = [{ channel: 'orders.placed', consumer: 'billing', count: 12, isAtLeast: true }]
    const whole = status({ channels: [failing], brokerDead, taken: 5, isTakenAtLeast: true })
    const text = statusText(whole, page)
    for (const words of ['≥ 20,000', '≥ 3 blocked keys', '≥ 12', 'ended yet: ≥ 5.'])
      expect(text).toContain(words)
    expect(text).toMatch(/≥ 20,000 +≥ 3 /u)
  })

  it('says so where nothing is to be done', () => {
    expect(statusText(status(), page)).toContain('Nothing to look at.')
  })

  it('lets no name speak to the terminal (S18)', () => {
    const evil = '\u001B[2Jx\u0007\u202E\r\n'
    const text = statusText(
      status({
        channels: [channel({ channel: evil, consumer: evil, delayed: 1 })],
        relays: [
          {
            id: 'a',
            transport: evil,
            consumer: evil,
            host: evil,
            pid: 1,
            application: evil,
            startedAt: at,
            isAlive: true,
            isPooled: false,
            partitions: 1,
            report: null,
          },
        ],
        losses: [{ channel: evil, consumer: evil, cause: evil, count: 1 }],
        warnings: [{ code: 'dead-letters', level: 'warning', subject: evil, message: evil, action: evil }],
      }),
      page,
    )
    // Line feeds are ours.
    expect(text.replaceAll('\n', '')).not.toMatch(/[\p{Cc}\p{Cf}]/u)
  })

  it('is coloured only on a terminal', () => {
    const [plain, coloured] = [false, true].map((isWanted) =>
      statusText(status(), { ...page, colors: pc.createColors(isWanted) }),
    )
    expect(plain).not.toContain('\u001B')
    expect(coloured).toContain('\u001B')
  })
})
