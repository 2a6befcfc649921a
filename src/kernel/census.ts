/**
 * What is where, as the store sees it in one look: what `waybill status`, the metrics and the health of a process are made of.
 * Ages are by the database's clock (R2).
 */
export interface CensusReport {
  /** When the look was taken, by the database's clock. */
  readonly at: Date
  /**
   * One line for each channel and lane. `null`: it could not be counted within its time, and nothing is known of it; the rest
   * still holds.
   */
  readonly lanes: readonly CensusLane[] | null
  readonly dead: readonly CensusDead[]
  readonly relays: readonly CensusRelay[]
  readonly partitions: readonly CensusPartitions[]
  /** At-most-once messages that were taken and whose end nobody has noted yet. */
  readonly taken: number
  /** There are more than were looked at. */
  readonly isTakenAtLeast: boolean
  /** Certainly or possibly lost, since the schema was made. */
  readonly losses: readonly CensusLoss[]
  /** Transactions that have been open for long: they hold vacuum back, and the keys they published on. Oldest first. */
  readonly transactions: readonly CensusTransaction[]
}

/** A channel's undelivered messages on one lane. */
export interface CensusLane {
  readonly channel: string
  /** `null` where the channel is not registered: nobody moves its rows. */
  readonly transport: string | null
  /** The local consumer that still lacks them, or `''` where a relay is to send them. */
  readonly consumer: string
  /** Due and not delivered; those that fail, and those behind them, too. */
  readonly pending: number
  /** Not due yet. */
  readonly delayed: number
  /** There are more than were looked at: `pending`, `delayed` and {@link oldestMs} are lower limits. */
  readonly isAtLeast: boolean
  /** Age of the oldest pending message: the lag. `null` where there is none. */
  readonly oldestMs: number | null
  /** Messages that failed and will be tried again. */
  readonly retrying: number
  /** Keys that wait for an operator. */
  readonly blocked: number
  /** Keys whose messages stand among the dead letters, to be replayed in order. */
  readonly parked: number
  /** More has failed, of whatever channel, than was looked at: `retrying`, `blocked` and `parked` are lower limits. */
  readonly isFailingAtLeast: boolean
}

export interface CensusDead {
  readonly channel: string
  readonly consumer: string
  readonly count: number
  readonly isAtLeast: boolean
}

/** A relay that has joined a lane. */
export interface CensusRelay {
  readonly id: string
  readonly transport: string
  readonly consumer: string
  readonly host: string
  readonly pid: number
  readonly application: string
  readonly startedAt: Date
  /** Its lease has not ended and its session lock is held. */
  readonly isAlive: boolean
  /** A pooler stands between it and the database: if it dies its partitions wait for the end of its leases. */
  readonly isPooled: boolean
  readonly partitions: number
  /** What it told of itself at its last renewal, which is a third of a lease old at most; `null` before its first. */
  readonly report: RelayReport | null
}

/** What a relay tells of itself beside each renewal of its leases. */
export interface RelayReport {
  /** Messages it has in memory or under way, by channel. */
  readonly inFlight: Readonly<Record<string, number>>
  /** Messages delivered in a second since the renewal before, by channel. */
  readonly perSecond: Readonly<Record<string, number>>
  /** Partitions on which exactly-once has stopped. */
  readonly stopped: readonly number[]
}

/** Who holds the partitions of a lane. */
export interface CensusPartitions {
  readonly transport: string
  readonly consumer: string
  /** Those that may be held. */
  readonly total: number
  /** The number of partitions is being changed. */
  readonly isChanging: boolean
  /** Those that no living relay holds, the lowest first, at most 20. */
  readonly unowned: readonly number[]
  readonly unownedCount: number
}

export interface CensusLoss {
  readonly channel: string
  readonly consumer: string
  readonly cause: string
  readonly count: number
}

export interface CensusTransaction {
  /** `prepared`: waits for COMMIT PREPARED or ROLLBACK PREPARED, whoever made it. */
  readonly kind: 'session' | 'prepared'
  /** The session's application name, or the transaction's identifier; anybody may have chosen it. */
  readonly name: string
  /** Of the server's process; `null` where it is prepared. */
  readonly pid: number | null
  readonly ageMs: number
  /** It has written: what it published is not there yet for anybody. */
  readonly hasWritten: boolean
}
