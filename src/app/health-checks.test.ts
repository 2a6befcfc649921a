import { describe, expect, it } from 'vitest'
import type { RelayStatus } from '../relay/relay.ts'
import type { RelayVitals } from '../relay/watch.ts'
import { consumerCheck, relayCheck } from './health-checks.ts'

const lane = { transport: 'kafka', consumer: '' }
const well: RelayVitals = {
  leasesAnsweredAgoMs: 10,
  leaseFailure: null,
  readUnderWayMs: null,
  readFailure: null,
  failing: [],
  inFlight: {},
}

function ask(vitals: Partial<RelayVitals>, more: Partial<RelayStatus> = {}): Promise<string | null> {
  const status = { vitals: { ...well, ...vitals }, stopped: [], ...more } as unknown as RelayStatus
  return relayCheck(lane, () => status, { leaseMs: 15_000, statementTimeoutMs: 10_000 }).check()
}

describe('a relay', () => {
  it('is well while database and broker answer, also where it has nothing to do', async () => {
    expect(await ask({})).toBeNull()
    expect(await ask({ readUnderWayMs: 100, leasesAnsweredAgoMs: 14_000 })).toBeNull()
  })

  it.each<[Partial<RelayVitals>, string]>([
    [{ leaseFailure: 'WB_STORE_UNREACHABLE' }, 'WB_STORE_UNREACHABLE'],
    [{ leasesAnsweredAgoMs: 15_001 }, 'has not answered about its leases for 15 s'],
    [{ readFailure: 'WB_TIMED_OUT' }, 'WB_TIMED_OUT'],
    [{ readUnderWayMs: 6000 }, 'has not been answered for 6 s'],
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
