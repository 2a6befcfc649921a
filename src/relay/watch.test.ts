import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { describe, expect, it, onTestFinished } from 'vitest'
import { row } from '../../test/model/by-hand.ts'
import type { DiagnosticName } from '../kernel/diagnostics.ts'
import type { Fate } from '../ports/transport.ts'
import { RelayWatch } from './watch.ts'

const lane = { transport: 'kafka', consumer: '' }
const confirmed: Fate = { outcome: 'confirmed' }
const rejected: Fate = {
  outcome: 'rejected',
  scope: 'message',
  retryable: true,
  code: 'TOO_BIG',
  reason: 'r',
}
const unknown: Fate = { outcome: 'unknown', code: 'SILENT', reason: 'r' }

function heard(name: DiagnosticName): unknown[] {
  const events: unknown[] = []
  const listen = (event: unknown): void => {
    events.push(event)
  }
  subscribe(name, listen)
  onTestFinished(() => void unsubscribe(name, listen))
  return events
}

describe('what a relay tells', () => {
  it('is one event for each batch, with the count of each fate', () => {
    const events = heard('waybill.relay.sent')
    const watch = new RelayWatch(lane, ['orders'], 0)
    const rows = [row(1, 'a'), row(2, 'b'), row(3, 'c')]
    watch.sendStarted('orders', 3)
    watch.sendEnded('orders', rows, [confirmed, rejected, unknown], 12)
    expect(events).toEqual([
      expect.objectContaining({
        lane,
        channel: 'orders',
        confirmed: 1,
        rejected: 1,
        unknown: 1,
        code: 'TOO_BIG',
      }),
    ])
  })

  it('holds trace headers of so many messages, and nothing else of them', () => {
    const events = heard('waybill.relay.sent') as { traces(most: number): unknown }[]
    const watch = new RelayWatch(lane, ['orders'], 0)
    const headers = (n: number): Record<string, string> => ({ traceparent: `00-${n}`, secret: 'canary' })
    const rows = [1, 2, 3].map((n) => ({ ...row(n, 'a'), headers: headers(n) }))
    watch.sendEnded('orders', [row(9, 'z'), ...rows], [confirmed, confirmed, confirmed, confirmed], 1)
    expect(events[0]!.traces(2)).toEqual([{ traceparent: '00-1' }, { traceparent: '00-2' }])
    expect(JSON.stringify(events)).not.toContain('canary')
  })

  it('is grouped by channel and code where messages fail', () => {
    const [retried, dead] = [heard('waybill.relay.retried'), heard('waybill.relay.dead')]
    const watch = new RelayWatch(lane, ['orders', 'bills'], 0)
    const line = (channel: string, errorCode: string): { channel: string; errorCode: string } => ({
      channel,
      errorCode,
    })
    watch.retried([line('orders', 'A'), line('orders', 'A'), line('bills', 'A'), line('orders', 'B')])
    watch.died([{ ...line('orders', 'A'), reason: 'rejected' }])
    expect(retried).toEqual([
      { lane, channel: 'orders', code: 'A', count: 2 },
      { lane, channel: 'bills', code: 'A', count: 1 },
      { lane, channel: 'orders', code: 'B', count: 1 },
    ])
    expect(dead).toEqual([{ lane, channel: 'orders', code: 'A', reason: 'rejected', count: 1 }])
  })

  it('is the beginning and the end of a hold, each once', () => {
    const events = heard('waybill.relay.held')
    const watch = new RelayWatch(lane, ['orders'], 0)
    const failing = { channel: 'orders', failures: 1, heldUntil: 50, code: 'SILENT' }
    for (const list of [[failing], [{ ...failing, heldUntil: null }], [], []]) watch.held(list)
    expect(events).toEqual([
      { lane, channel: 'orders', isHeld: true },
      { lane, channel: 'orders', isHeld: false },
    ])
  })
})

describe('the vitals of a relay', () => {
  it('tell when reads and leases were last answered, and with what a lease session was lost', () => {
    const watch = new RelayWatch(lane, ['orders'], 1000)
    watch.readIssued(1500)
    expect(watch.vitals(4000)).toMatchObject({
      leasesAnsweredAgoMs: 3000,
      leaseFailure: null,
      readAnsweredAgoMs: null,
    })
    watch.readEnded(0, null, 2000)
    watch.readIssued(3000)
    watch.readEnded(0, 'WB_TIMED_OUT', 4000)
    watch.leasesFailed('WB_STORE_UNREACHABLE')
    expect(watch.vitals(5000)).toMatchObject({
      readAnsweredAgoMs: 3000,
      leaseFailure: 'WB_STORE_UNREACHABLE',
    })
    watch.leasesAnswered(5001)
    expect(watch.vitals(5002)).toMatchObject({ leasesAnsweredAgoMs: 1, leaseFailure: null })
  })

  it('name a destination that fails for everyone, with its last error', () => {
    const watch = new RelayWatch(lane, ['orders'], 0)
    watch.sendEnded('orders', [row(1, 'a')], [unknown], 1)
    watch.held([{ channel: 'orders', failures: 2, heldUntil: 1500, code: 'SILENT' }])
    expect(watch.vitals(1000).failing).toEqual([
      { channel: 'orders', code: 'SILENT', failures: 2, retryInMs: 500 },
    ])
    watch.held([{ channel: 'orders', failures: 2, heldUntil: null, code: 'SILENT' }])
    expect(watch.vitals(2000).failing).toMatchObject([{ retryInMs: 0 }])
  })
})

describe('the report of a relay', () => {
  it('has what is under way, and the rate since the one before', () => {
    const watch = new RelayWatch(lane, ['orders', 'bills'], 0)
    const rows = Array.from({ length: 30 }, (_, i) => row(i + 1, 'a'))
    watch.sendStarted('orders', 30)
    expect(watch.report(1000, [4])).toEqual({ inFlight: { orders: 30 }, perSecond: {}, stopped: [4] })
    watch.sendEnded(
      'orders',
      rows,
      rows.map(() => confirmed),
      5,
    )
    expect(watch.report(3000, [])).toEqual({ inFlight: {}, perSecond: { orders: 15 }, stopped: [] })
    expect(watch.report(4000, []).perSecond).toEqual({})
  })
})
