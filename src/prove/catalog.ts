import { blackHoleFault } from '../testing/faults/black-hole.ts'
import { cutMidFrameFault } from '../testing/faults/cut-mid-frame.ts'
import type { Fault } from '../testing/faults/fault.ts'
import { halfOpenFault } from '../testing/faults/half-open.ts'
import { killFault } from '../testing/faults/kill.ts'
import { latencyFault } from '../testing/faults/latency.ts'
import { lostCommitFault } from '../testing/faults/lost-reply.ts'
import { pauseFault } from '../testing/faults/pause.ts'
import { refuseFault } from '../testing/faults/refuse.ts'
import { resetFault } from '../testing/faults/reset.ts'
import { slicesFault } from '../testing/faults/slices.ts'
import { terminateBackendsFault } from '../testing/faults/terminate-backends.ts'
import type { Chance, PostgresServer, Proxy } from '../testing.ts'
import type { Company } from './company.ts'

/** What `--faults` takes. */
export const faultClasses = ['kill', 'pause', 'server', 'network', 'sessions'] as const

export type FaultClass = (typeof faultClasses)[number]

export interface PlannedFault {
  readonly fault: Fault
  readonly class: FaultClass
  /** How long it stays in effect, in milliseconds. */
  readonly holdMs: number
}

export interface Stage {
  readonly company: Company
  /** Where it was started for the run, and may be killed. */
  readonly server: PostgresServer | null
  readonly databaseUrl: string
  readonly links: Readonly<Record<'consumers' | 'writer', Proxy>>
  readonly leaseMs: number
  readonly chance: Chance
}

/** All faults that can be made to happen on this stage. */
export function catalogOf(stage: Stage): readonly PlannedFault[] {
  const { company, server, databaseUrl, links, leaseMs, chance } = stage
  const planned: PlannedFault[] = []
  const add = (name: FaultClass, holdMs: number, fault: Fault): void => {
    planned.push({ fault, class: name, holdMs })
  }
  for (const name of ['writer', 'consumer-1', 'consumer-2'])
    add('kill', 500, killFault(name, company.process(name)))
  // Longer than its lease: it goes on as a zombie.
  add('pause', leaseMs * 2, pauseFault('consumer-1', company.process('consumer-1')))
  if (server !== null) {
    add('server', 300, killFault('postgres', server))
    add('server', 2500, pauseFault('postgres', server))
  }
  for (const link of ['consumers', 'writer'] as const) {
    const proxy = links[link]
    add('network', 2500, blackHoleFault(link, proxy))
    add('network', 2500, halfOpenFault(link, proxy))
    add('network', 2500, resetFault(link, proxy))
    add('network', 2500, latencyFault(link, proxy, 100))
    add('network', 2500, slicesFault(link, proxy, 7))
    add('network', 2500, cutMidFrameFault(link, proxy))
    add('network', 2500, refuseFault(link, proxy))
    add('network', 2500, lostCommitFault(link, proxy))
  }
  add('sessions', 2000, terminateBackendsFault(databaseUrl, { random: chance }))
  return planned
}
