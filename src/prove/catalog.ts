import { setTimeout as pause } from 'node:timers/promises'
import { blackHoleFault } from '../testing/faults/black-hole.ts'
import { clockJumpFault, type FakeClock } from '../testing/faults/clock-jump.ts'
import { cutMidFrameFault } from '../testing/faults/cut-mid-frame.ts'
import type { Fault } from '../testing/faults/fault.ts'
import { fullDiskFault } from '../testing/faults/full-disk.ts'
import { halfOpenFault } from '../testing/faults/half-open.ts'
import { killFault } from '../testing/faults/kill.ts'
import { latencyFault } from '../testing/faults/latency.ts'
import { lostCommitFault, lostProduceFault } from '../testing/faults/lost-reply.ts'
import { pauseFault } from '../testing/faults/pause.ts'
import { refuseFault } from '../testing/faults/refuse.ts'
import { resetFault } from '../testing/faults/reset.ts'
import { restartFault } from '../testing/faults/restart.ts'
import { slicesFault } from '../testing/faults/slices.ts'
import { terminateBackendsFault } from '../testing/faults/terminate-backends.ts'
import type { Chance, PostgresServer, SmallDisk } from '../testing.ts'
import type { Company } from './company.ts'
import type { KafkaPlace } from './kafka-place.ts'
import type { Link } from './links.ts'

/** What `--faults` takes. */
export const faultClasses = [
  'kill',
  'restart',
  'pause',
  'server',
  'network',
  'sessions',
  'clock',
  'disk',
] as const

export type FaultClass = (typeof faultClasses)[number]

export interface PlannedFault {
  readonly fault: Fault
  readonly class: FaultClass
  /** How long it stays in effect, in milliseconds. */
  readonly holdMs: number
}

/** What this machine or these servers do not have, in words. */
export interface Missing {
  readonly missing: string
}

/** One that cannot be made to happen here. */
export interface MissingFault extends Missing {
  readonly name: string
  readonly class: FaultClass
}

export interface Catalog {
  readonly planned: readonly PlannedFault[]
  readonly missing: readonly MissingFault[]
}

export interface Targets {
  readonly company: Company
  /** Of each process that goes by one, by its name. */
  readonly clocks: ReadonlyMap<string, FakeClock> | Missing
  /** Where it was started for the run, and may be killed. */
  readonly server: PostgresServer | null
  /** On which it has its data, and nobody else any. */
  readonly disk: SmallDisk | Missing
  /** Its URL, or how a session is opened there. */
  readonly database: Parameters<typeof terminateBackendsFault>[0]
  readonly kafka: KafkaPlace | null
  readonly links: readonly Link[]
  /** What those of the run's own processes are called. */
  readonly sessions: string
  readonly leaseMs: number
  readonly chance: Chance
}

/** By how much a clock jumps, either way. */
const jumpSeconds = 3600

/** All faults that can be made to happen there, and what cannot. */
export function catalogOf(targets: Targets): Catalog {
  const { company, clocks, server, disk, database, kafka, links, sessions, leaseMs, chance } = targets
  const planned: PlannedFault[] = []
  const missing: MissingFault[] = []
  const add = (name: FaultClass, holdMs: number, fault: Fault): void => {
    planned.push({ fault, class: name, holdMs })
  }
  for (const { name } of company.states) {
    const kill = killFault(name, company.process(name))
    // A writer's death finds only what it has in hand at that moment, which may be nothing.
    add('kill', 500, name === 'writer' ? repeated(kill, 3) : kill)
  }
  for (const name of ['consumer-1', 'writer', ...(kafka === null ? [] : ['relay-1'])])
    add('restart', 500, restartFault(name, company.process(name)))
  // Longer than its lease, or than its broker waits for it: it goes on as a zombie.
  const owns = kafka === null ? leaseMs : Math.max(leaseMs, kafka.sessionTimeoutMs)
  add('pause', owns * 2, pauseFault('consumer-1', company.process('consumer-1')))
  if (kafka !== null) add('pause', leaseMs * 2, pauseFault('relay-1', company.process('relay-1')))
  const servers = { postgres: server, kafka: kafka?.server ?? null }
  for (const [name, one] of Object.entries(servers)) {
    if (one === null) {
      if (name === 'postgres' || kafka !== null)
        missing.push({
          name: `${name} as a server`,
          class: 'server',
          missing: 'it was not started for this run',
        })
      continue
    }
    add('server', 300, killFault(name, one))
    add('server', 2500, pauseFault(name, one))
    add('server', 300, restartFault(name, one))
  }
  if (!links.some(({ to }) => to === 'postgres'))
    missing.push({
      name: 'the network of postgres',
      class: 'network',
      missing: 'no proxy is taken for it: it is reached by a socket, or its certificate is looked at',
    })
  if (kafka !== null && !links.some(({ to }) => to === 'kafka'))
    missing.push({
      name: 'the network of kafka',
      class: 'network',
      missing:
        'brokers tell their clients where to reach them, which a proxy of the run is not: it has them only where it starts Kafka itself',
    })
  for (const { name, to, proxy } of links) {
    add('network', 2500, blackHoleFault(name, proxy))
    add('network', 2500, halfOpenFault(name, proxy))
    add('network', 2500, resetFault(name, proxy))
    add('network', 2500, latencyFault(name, proxy, 100))
    add('network', 2500, slicesFault(name, proxy))
    add('network', 2500, cutMidFrameFault(name, proxy))
    add('network', 2500, refuseFault(name, proxy))
    // Relays send no COMMIT to the database, and consumers produce nothing.
    const isOfRelays = name.startsWith('relays')
    if (to === 'postgres' && !isOfRelays) add('network', 2500, lostCommitFault(name, proxy))
    if (to === 'kafka' && isOfRelays) add('network', 2500, lostProduceFault(name, proxy))
  }
  // The database may be the user's, and others at work in it.
  add('sessions', 2000, terminateBackendsFault(database, { random: chance, application: sessions }))
  if ('missing' in clocks) missing.push({ name: 'clock', class: 'clock', ...clocks })
  else {
    for (const [name, clock] of clocks) {
      for (const seconds of [jumpSeconds, -jumpSeconds]) {
        const pid = (): number | null => company.process(name).state.pid
        // Longer than a lease: who reckoned one by such a clock would give it up, or keep it.
        add('clock', leaseMs * 1.5, clockJumpFault(name, clock, seconds, pid))
      }
    }
  }
  if ('missing' in disk) missing.push({ name: 'disk full', class: 'disk', ...disk })
  else if (server !== null) add('disk', 3000, fullDiskFault('postgres', disk, server))
  return { planned, missing }
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
