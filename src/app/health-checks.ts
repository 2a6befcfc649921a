import type { HealthCheck } from '../kernel/monitoring.ts'
import { describeError } from '../kernel/errors.ts'
import type { Lane } from '../ports/lane.ts'
import type { Store } from '../ports/store.ts'
import type { RelayStatus } from '../relay/relay.ts'
import type { OpenTransports } from './open-transports.ts'
import type { Settings } from './settings.ts'
import { ageText } from './inspection/warnings.ts'

/** A statement of a relay that takes longer than this is not slow, it hangs. */
const slowMs = 5000
/** How long a broker may take to answer. Less than a monitor waits, so that the reason can be told. */
const brokerMs = 1500

/**
 * Whether a relay, or a local consumer, does its work. A relay that finds nothing is well only as long as the database answers
 * its reads and its lease session: silence is no sign of life (M2).
 */
export function relayCheck(
  lane: Lane,
  status: () => RelayStatus | null,
  { leaseMs, statementTimeoutMs }: Pick<Settings, 'leaseMs' | 'statementTimeoutMs'>,
): HealthCheck {
  const name = lane.consumer === '' ? `relay ${lane.transport}` : `consumer ${lane.consumer}`
  const longestMs = Math.min(slowMs, statementTimeoutMs)
  const check = (): string | null => {
    const relay = status()
    if (relay === null) return 'It does not run.'
    const { vitals, stopped } = relay
    const { leaseFailure, leasesAnsweredAgoMs, waitingFor, failed, failing } = vitals
    if (leaseFailure !== null) return `Its lease session is lost (${leaseFailure}): it holds no partition.`
    if (leasesAnsweredAgoMs > leaseMs)
      return `The database has not answered about its leases for ${ageText(leasesAnsweredAgoMs)}.`
    const hanging = waitingFor.find((call) => call.peer === 'database' && call.sinceMs > longestMs)
    if (hanging !== undefined)
      return `The database has not answered for ${ageText(hanging.sinceMs)}: ${hanging.what}.`
    // What is older, and not asked for just now, has no longer been tried: its partition was lost meanwhile.
    const isTried = (what: string): boolean => waitingFor.some((call) => call.what === what)
    const broken = failed.find(({ agoMs, what }) => agoMs <= leaseMs || isTried(what))
    if (broken !== undefined)
      return `The ${broken.peer} has failed, and is tried again: ${broken.what} (${broken.code}).`
    const [worst] = failing
    if (worst !== undefined)
      return `Channel "${worst.channel}" cannot be delivered${worst.code === '' ? '' : ` (${worst.code})`}; ${failing.length} in all.`
    if (stopped.length > 0)
      return `Exactly-once has stopped on partition ${stopped.map(({ partition }) => partition).join(', ')}.`
    return null
  }
  return { name, check: () => Promise.resolve(check()) }
}

/** Asks on a connection apart from those that work, which may be busy and well. */
export function storeCheck(store: Pick<Store, 'census'>): HealthCheck {
  return {
    name: 'database',
    check: () => answered(store.census.ping(), 'The database does not answer'),
  }
}

/** Of each transport that is open and can be asked. */
export function brokerChecks(transports: OpenTransports): readonly HealthCheck[] {
  return transports.openNames.flatMap((name) => {
    const transport = transports.get(name)
    if (transport.ping === undefined) return []
    return [
      {
        name: `broker ${name}`,
        check: () => answered(transport.ping!(brokerMs), 'The broker does not answer'),
      },
    ]
  })
}

/** What a consumer at a broker knows of itself. */
export interface ConsumerVitals {
  readonly isMember: boolean
  /** Code of the last error with store or broker, until something went well again. */
  readonly trouble: string | null
}

export function consumerCheck(consumer: string, vitals: () => ConsumerVitals): HealthCheck {
  const check = (): string | null => {
    const { isMember, trouble } = vitals()
    if (!isMember) return 'It is not a member of its group at the broker: nothing is assigned to it.'
    return trouble === null ? null : `Store or broker could not be reached (${trouble}); it tries again.`
  }
  return { name: `consumer ${consumer}`, check: () => Promise.resolve(check()) }
}

async function answered(asking: Promise<void>, silence: string): Promise<string | null> {
  try {
    await asking
    return null
  } catch (error) {
    return `${silence} (${describeError(error).code}).`
  }
}
