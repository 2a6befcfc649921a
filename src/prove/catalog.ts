import { setTimeout as pause } from 'node:timers/promises'
import { blackHoleFault } from '../testing/faults/black-hole.ts'
import { cutMidFrameFault } from '../testing/faults/cut-mid-frame.ts'
import type { Fault } from '../testing/faults/fault.ts'
import { halfOpenFault } from '../testing/faults/half-open.ts'
import { killFault } from '../testing/faults/kill.ts'
import { latencyFault } from '../testing/faults/latency.ts'
import { lostCommitFault, lostProduceFault } from '../testing/faults/lost-reply.ts'
import { pauseFault } from '../testing/faults/pause.ts'
import { refuseFault } from '../testing/faults/refuse.ts'
import { resetFault } from '../testing/faults/reset.ts'
import { slicesFault } from '../testing/faults/slices.ts'
import { terminateBackendsFault } from '../testing/faults/terminate-backends.ts'
import type { Chance, PostgresServer } from '../testing.ts'
import type { Company } from './company.ts'
import type { KafkaPlace } from './kafka-place.ts'
import type { Link } from './links.ts'

/** What `--faults` takes. */
export const faultClasses = ['kill', 'pause', 'server', 'network', 'sessions'] as const

export type FaultClass = (typeof faultClasses)[number]

export interface PlannedFault {
  readonly fault: Fault
  readonly class: FaultClass
  /** How long it stays in effect, in milliseconds. */
  readonly holdMs: number
}

export interface Targets {
  readonly company: Company
  /** Where it was started for the run, and may be killed. */
  readonly server: PostgresServer | null
  readonly databaseUrl: string
  readonly kafka: KafkaPlace | null
  readonly links: readonly Link[]
  readonly leaseMs: number
  readonly chance: Chance
}

/** All faults that can be made to happen there. */
export function catalogOf(targets: Targets): readonly PlannedFault[] {
  const { company, server, databaseUrl, kafka, links, leaseMs, chance } = targets
  const planned: PlannedFault[] = []
  const add = (name: FaultClass, holdMs: number, fault: Fault): void => {
    planned.push({ fault, class: name, holdMs })
  }
  for (const { name } of company.states) {
    const kill = killFault(name, company.process(name))
    // A writer's death finds only what it has in hand at that moment, which may be nothing.
    add('kill', 500, name === 'writer' ? repeated(kill, 3) : kill)
  }
  // Longer than its lease, or than its broker waits for it: it goes on as a zombie.
  const owns = kafka === null ? leaseMs : Math.max(leaseMs, kafka.sessionTimeoutMs)
  add('pause', owns * 2, pauseFault('consumer-1', company.process('consumer-1')))
  if (kafka !== null) add('pause', leaseMs * 2, pauseFault('relay-1', company.process('relay-1')))
  const servers = { postgres: server, kafka: kafka?.server ?? null }
  for (const [name, one] of Object.entries(servers)) {
    if (one === null) continue
    add('server', 300, killFault(name, one))
    add('server', 2500, pauseFault(name, one))
  }
  for (const { name, to, proxy } of links) {
    add('network', 2500, blackHoleFault(name, proxy))
    add('network', 2500, halfOpenFault(name, proxy))
    add('network', 2500, resetFault(name, proxy))
    add('network', 2500, latencyFault(name, proxy, 100))
    add('network', 2500, slicesFault(name, proxy, 7))
    add('network', 2500, cutMidFrameFault(name, proxy))
    add('network', 2500, refuseFault(name, proxy))
    if (to === 'postgres') add('network', 2500, lostCommitFault(name, proxy))
    // Consumers produce nothing.
    else if (name.startsWith('relays')) add('network', 2500, lostProduceFault(name, proxy))
  }
  // The database may be the user's, and others at work in it.
  const application = 'waybill prove'
  add('sessions', 2000, terminateBackendsFault(databaseUrl, { random: chance, application }))
  return planned
}

/** Several times in one spell, with a moment of work in between. */
function repeated(fault: Fault, times: number): Fault {
  return {
    name: fault.name,
    async inject() {
      for (let i = 1; i < times; i++) {
        await (await fault.inject()).heal()
        await pause(200)
      }
      return await fault.inject()
    },
  }
}
