import type {
  CensusLane,
  CensusLoss,
  CensusPartitions,
  CensusRelay,
  CensusReport,
  CensusTransaction,
} from '../../kernel/census.ts'
import type { CensusRequest } from '../../ports/census.ts'
import { warningsOf, type StatusWarning } from './warnings.ts'

/** Enough to tell a backlog from a burst; a look at so many rows takes a part of a second. */
export const censusRequest: CensusRequest = { mostRows: 100_000, oldTransactionMs: 60_000 }

/** For metrics, which are read all day: lag is as exact, and counts end earlier. */
export const metricsRequest: CensusRequest = { ...censusRequest, mostRows: 20_000 }

/** One channel on one lane, as people are shown it; every figure by the store. */
export interface ChannelSummary extends Omit<CensusLane, 'oldestMs'> {
  /** Age of the oldest message that is due and not delivered; `null` where there is none. */
  readonly lagMs: number | null
  /** With a transport at this moment, as its relays told at their last renewal; `null` where one has not told yet. */
  readonly inFlight: number | null
  /** Delivered in a second, as the relays told; `null` as above. */
  readonly perSecond: number | null
  /** Dead letters of the channel, of every consumer that is shown here. */
  readonly dead: number
  readonly isDeadAtLeast: boolean
}

/** What `waybill status` shows, and prints with `--json`. */
export interface StatusSummary {
  readonly at: Date
  /** `null`: they could not be counted within their time. */
  readonly channels: readonly ChannelSummary[] | null
  /** Dead letters of consumers behind a broker: their messages are not in the outbox any more. */
  readonly brokerDead: readonly {
    readonly channel: string
    readonly consumer: string
    readonly count: number
    readonly isAtLeast: boolean
  }[]
  readonly relays: readonly CensusRelay[]
  readonly partitions: readonly CensusPartitions[]
  readonly taken: number
  readonly isTakenAtLeast: boolean
  readonly losses: readonly CensusLoss[]
  readonly transactions: readonly CensusTransaction[]
  readonly warnings: readonly StatusWarning[]
}

/** What a census means, with what to do about it. `known` are the channels of the configuration. */
export function summarise(report: CensusReport, known: ReadonlySet<string>): StatusSummary {
  const { lanes: _lanes, dead: _dead, ...rest } = report
  const channels = report.lanes?.map((lane) => channelSummary(lane, report)) ?? null
  const isLane = (channel: string, consumer: string): boolean =>
    channels?.some((each) => each.channel === channel && each.consumer === consumer) === true
  const brokerDead = report.dead.filter(({ channel, consumer }) => !isLane(channel, consumer))
  const summary = { ...rest, channels, brokerDead }
  return { ...summary, warnings: warningsOf(summary, known) }
}

function channelSummary(lane: CensusLane, { relays, dead }: CensusReport): ChannelSummary {
  const { oldestMs: lagMs, ...rest } = lane
  const own = relays.filter(
    ({ isAlive, transport, consumer }) =>
      isAlive && transport === lane.transport && consumer === lane.consumer,
  )
  const letters = dead.find(({ channel, consumer }) => channel === lane.channel && consumer === lane.consumer)
  return {
    ...rest,
    lagMs,
    inFlight: sumOf(own, ({ inFlight }) => inFlight[lane.channel]),
    perSecond: sumOf(own, ({ perSecond }) => perSecond[lane.channel]),
    dead: letters?.count ?? 0,
    // One look for all: where it was cut, those of a channel that it found none of may be among the rest.
    isDeadAtLeast: dead.some(({ isAtLeast }) => isAtLeast),
  }
}

function sumOf(
  relays: readonly CensusRelay[],
  of: (report: NonNullable<CensusRelay['report']>) => number | undefined,
): number | null {
  let sum = 0
  for (const { report } of relays) {
    if (report === null) return null
    sum += of(report) ?? 0
  }
  return sum
}
