import { systemClock } from '../../../src/kernel/clock.ts'
import { silentLogger } from '../../../src/kernel/logger.ts'
import type { ChannelRules } from '../../../src/relay/mind/types.ts'
import { Relay, type RelayOptions } from '../../../src/relay/relay.ts'
import type { Street } from './support.ts'
import { seeded } from './workload.ts'

type Needs = Pick<RelayOptions, 'store' | 'sender' | 'once' | 'fenced'> & {
  readonly form?: ChannelRules['form']
  readonly leaseMs?: number
}

/** A relay of a street's channel whose limits are so small that a workload meets every one of them. */
export function smallRelay(street: Street, { form = 'confirm', leaseMs = 10_000, ...parts }: Needs): Relay {
  const retry = { initialMs: 1, maxMs: 5 }
  return new Relay({
    ...parts,
    lane: street.lane,
    leaseMs,
    stopTimeoutMs: 20_000,
    clock: systemClock,
    random: seeded(7),
    logger: silentLogger,
    mind: {
      channels: new Map([[street.channel, { form, ordered: true, maxAttempts: 1000, retry }]]),
      ordersBatch: true,
      batchSize: 20,
      readLimit: 10,
      lateLimit: 3,
      lookLimit: 10,
      maxInFlight: 100,
      maxInFlightBytes: 1_000_000,
      maxKeyBacklog: 8,
      maxSends: 3,
      removeLimit: 50,
      sendTimeoutMs: 2000,
      poll: { initialMs: 1, maxMs: 10 },
      hold: { initialMs: 1, maxMs: 10 },
    },
  })
}
