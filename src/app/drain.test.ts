import { expect, it } from 'vitest'
import { WaybillError } from '../kernel/errors.ts'
import type { Backlog, BacklogPart } from '../ports/backlog.ts'
import type { Lane } from '../ports/lane.ts'
import type { MindCounters } from '../relay/mind/types.ts'
import type { ResolvedConfig } from './config.ts'
import { createDrain, type DrainReport } from './drain.ts'
import type { WaybillStatus } from './running.ts'

const unreachable = new WaybillError('WB_STORE_UNREACHABLE', 'no', { retryable: 'yes' })
const broken = new WaybillError('WB_VERSION_UNKNOWN', 'no')

const lane = { transport: 'kafka', consumer: '' }
const counters = {
  sent: 0,
  rejected: 0,
  confirmed: 0,
  taken: 0,
  buried: 0,
  blocked: 0,
  followers: 0,
  expired: 0,
}
const gone = { channel: 'orders', code: 'GONE', failures: 1, retryInMs: 0 }

type Look = number | Error | readonly Partial<BacklogPart>[]

interface Service {
  readonly leaseMs: number
  readonly limitMs?: number
  /** Its looks at the backlog end one after the other in these ways; the last goes on. */
  readonly looks: readonly Look[]
  /** Of its relays, at the look of that number, the first is 1. */
  readonly relays?: (look: number) => readonly { lane: Lane; counters: Partial<MindCounters> }[]
  /** Whether the destination is known to take nothing at that look. */
  readonly isHeld?: (look: number) => boolean
}

/** Of a service with one channel. */
function drain({
  leaseMs,
  limitMs = Infinity,
  looks,
  relays = () => [],
  isHeld = () => false,
}: Service): Promise<DrainReport> {
  let made = 0
  const backlog: Backlog = {
    mark: async () => 9n,
    lookBeside: async () => [],
    look: async () => {
      const found = looks[Math.min(made++, looks.length - 1)]!
      if (found instanceof Error) throw found
      const parts = typeof found === 'number' ? (found === 0 ? [] : [{ count: found }]) : found
      return parts.map((part) => ({
        channel: 'orders',
        kind: 'waiting',
        count: 1,
        isAtLeast: false,
        ...part,
      }))
    },
  }
  const channel = { name: 'orders', isStored: true }
  const config = {
    settings: { leaseMs, publishTimeoutMs: 0 },
    transports: new Map([['kafka', { capabilities: { isLocal: false } }]]),
    routes: new Map([['orders', { transport: 'kafka', channel }]]),
  } as unknown as ResolvedConfig
  const status = (): WaybillStatus => {
    const failing = isHeld(made + 1) ? [gone] : []
    const vitals = { failing, failed: [], leaseFailure: null }
    const parts = relays(made + 1).map((relay) => ({
      kind: 'relay',
      relay: { lane: relay.lane, counters: { ...counters, ...relay.counters }, vitals, stopped: [] },
    }))
    return { isRunning: true, parts } as unknown as WaybillStatus
  }
  return createDrain(config, () => ({ backlog }), status)({ limitMs })
}

it('a look at the backlog that fails is made again', async () => {
  const looks = [3, unreachable, unreachable, 0]
  expect(await drain({ leaseMs: 60_000, looks })).toEqual({ remains: [], isCut: false })
})

it('an error that lasts is told, and one that time does not mend at once', async () => {
  await expect(drain({ leaseMs: 1, looks: [3, unreachable] })).rejects.toBe(unreachable)
  await expect(drain({ leaseMs: 60_000, looks: [3, broken] })).rejects.toBe(broken)
})

it('probes of a destination that is down are no progress, nor is what consumers do or is sent besides', async () => {
  const report = await drain({
    leaseMs: 1,
    limitMs: 3000,
    looks: [3],
    relays: (look) => [
      { lane, counters: { sent: look, rejected: look, unknown: look, confirmed: look } },
      { lane: { transport: 'local', consumer: 'mail' }, counters: { confirmed: look } },
    ],
    // While it is probed, its failure may be forgotten for a moment.
    isHeld: (look) => look % 2 === 0,
  })
  expect(report).toMatchObject({ remains: [{ channel: 'orders', count: 3 }], isCut: false })
})

it('where more is left than can be counted, probes are no progress, and what relays get rid of is', async () => {
  const looks = [[{ count: 10_000, isAtLeast: true }]]
  const probes = await drain({
    leaseMs: 1,
    limitMs: 3000,
    looks,
    relays: (look) => [
      { lane, counters: { sent: look, rejected: look, confirmed: 7 } },
      { lane: { transport: 'local', consumer: 'mail' }, counters: { confirmed: look } },
    ],
  })
  expect(probes.isCut).toBe(false)
  const moves = await drain({
    leaseMs: 1,
    looks: [...Array.from({ length: 5 }, () => looks[0]!), 0],
    relays: (look) => [{ lane, counters: { expired: look } }],
  })
  expect(moves).toEqual({ remains: [], isCut: false })
})

it('looks again where all that was looked at cannot be sent now, and there may be more behind it', async () => {
  const looks = [[{ kind: 'delayed', count: 10_000, isAtLeast: true } as const], 3, 0]
  expect(await drain({ leaseMs: 60_000, looks })).toEqual({ remains: [], isCut: false })
  const delayed = await drain({ leaseMs: 1, looks: looks.slice(0, 1) })
  expect(delayed).toMatchObject({ remains: [{ why: 'delayed', isAtLeast: true }], isCut: false })
})
