import { describe, expect, it } from 'vitest'
import type { CallVitals, RelayStatus } from '../relay/relay.ts'
import type { FailedCall, WaitingCall } from '../relay/calls.ts'
import type { RelayVitals } from '../relay/watch.ts'
import { consumerCheck, relayCheck } from './health-checks.ts'

const lane = { transport: 'kafka', consumer: '' }
const well: RelayVitals & CallVitals = {
  leasesAnsweredAgoMs: 10,
  leaseFailure: null,
  readAnsweredAgoMs: 10,
  waitingFor: [],
  failed: [],
  failing: [],
  inFlight: {},
}

function waiting(peer: WaitingCall['peer'], sinceMs: number): WaitingCall {
  return { peer, what: 'reading', sinceMs }
}

function failure(agoMs: number): FailedCall {
  return { peer: 'database', what: 'reading', code: 'WB_TIMED_OUT', agoMs }
}

function ask(
  vitals: Partial<RelayVitals & CallVitals>,
  more: Partial<RelayStatus> = {},
): Promise<string | null> {
  const status = { vitals: { ...well, ...vitals }, stopped: [], ...more } as unknown as RelayStatus
  return relayCheck(lane, () => status, { leaseMs: 15_000, statementTimeoutMs: 10_000 }).check()
}

describe('a relay', () => {
  it('is well while database and broker answer, also where it has nothing to do', async () => {
    expect(await ask({})).toBeNull()
    expect(await ask({ leasesAnsweredAgoMs: 14_000 })).toBeNull()
    // A send has a time-out of its own, and a failure that was not repeated is nothing to wait for.
    const calls = [waiting('database', 4900), waiting('transport', 9000)]
    expect(await ask({ waitingFor: calls, failed: [{ ...failure(15_001), what: 'deleting' }] })).toBeNull()
  })

  it.each<[Partial<RelayVitals & CallVitals>, string]>([
    [{ leaseFailure: 'WB_STORE_UNREACHABLE' }, 'WB_STORE_UNREACHABLE'],
    [{ leasesAnsweredAgoMs: 15_001 }, 'has not answered about its leases for 15 s'],
    [{ failed: [failure(14_000)] }, 'The database has failed, and is tried again: reading (WB_TIMED_OUT)'],
    // A take-over may take longer than a lease: until it has ended it has failed.
    [
      { waitingFor: [waiting('transport', 20_000)], failed: [{ ...failure(20_000), peer: 'transport' }] },
      'The transport has failed, and is tried again: reading (WB_TIMED_OUT)',
    ],
    [{ waitingFor: [waiting('database', 6000)] }, 'The database has not answered for 6 s: reading.'],
    [
      { failing: [{ channel: 'orders', code: 'ECONNREFUSED', failures: 3, retryInMs: 500 }] },
      'Channel "orders" cannot be delivered (ECONNREFUSED)',
    ],
  ])('is unwell, and says why: %j', async (vitals, words) => {
    expect(await ask(vitals)).toContain(words)
  })

  it('is unwell where it has stopped, or exactly-once has', async () => {
    expect(await ask({}, { stopped: [{ partition: 4, reason: 'r' }] })).toContain('partition 4')
    const gone = relayCheck(lane, () => null, { leaseMs: 1, statementTimeoutMs: 1 })
    expect(await gone.check()).toBe('It does not run.')
  })

  it('is named for its transport, a local consumer for itself', () => {
    const settings = { leaseMs: 1, statementTimeoutMs: 1 }
    expect(relayCheck(lane, () => null, settings).name).toBe('relay kafka')
    expect(relayCheck({ ...lane, consumer: 'shipping' }, () => null, settings).name).toBe('consumer shipping')
  })
})

describe('a consumer at a broker', () => {
  it('is well as a member whose last call went well', async () => {
    const ask = (isMember: boolean, trouble: string | null): Promise<string | null> =>
      consumerCheck('billing', () => ({ isMember, trouble })).check()
    expect(await ask(true, null)).toBeNull()
    expect(await ask(false, null)).toContain('not a member')
    expect(await ask(true, 'WB_STORE_UNREACHABLE')).toContain('WB_STORE_UNREACHABLE')
  })
})
