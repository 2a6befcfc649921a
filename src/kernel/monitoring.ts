import type { CensusReport } from './census.ts'
import type { Logger } from './logger.ts'

/** A channel of the configuration, as metrics name it. */
export interface MonitoredChannel {
  readonly name: string
  /** Kind of its transport: `kafka`, `local`, … */
  readonly system: string
  /** Where the transport sends it: a Kafka topic, … */
  readonly address: string
}

/** One part of a process that can be unwell. */
export interface HealthCheck {
  /** A word or two: `database`, `relay kafka`, `consumer shipping`. */
  readonly name: string
  /** Resolves with what is wrong, in words that hold no secret, or `null`. Is given up after a while. */
  check(): Promise<string | null>
}

/** What a running instance shows a monitor. */
export interface MonitorSource {
  readonly channels: readonly MonitoredChannel[]
  /** Names of its consumers. */
  readonly consumers: readonly string[]
  /** `null` where there is no store. */
  readonly census: (() => Promise<CensusReport>) | null
  /** The parts that run now. */
  readonly checks: () => readonly HealthCheck[]
  /** Why it cannot serve yet, or no more; `null` where it can. */
  readonly notReady: () => string | null
  readonly logger: Logger
}

/** Something that shows an instance to the outside, as the configuration names it. */
export interface MonitorDefinition {
  /** Whether it needs a place to listen at. One that does is opened only where the setting `httpPort` gives it one. */
  readonly listens: boolean
  /** Rejects with `WB_INVALID_CONFIG` where it cannot listen at that place. */
  open(source: MonitorSource, place: MonitorPlace): Promise<Monitor>
}

export interface MonitorPlace {
  readonly host: string
  readonly port: number
}

export interface Monitor {
  close(): Promise<void>
}
