/** Which kept messages are meant: all conditions together. Left out, a condition is none. */
export interface SentFilter {
  readonly channel?: string | undefined
  readonly key?: string | undefined
  /** Sent at this moment or later, by the database's clock. */
  readonly since?: Date | undefined
  /** Sent before this moment. */
  readonly until?: Date | undefined
}

/** A place among kept messages, in the order in which they were once written. */
export interface SentPlace {
  readonly partition: number
  readonly seq: bigint
  readonly id: string
}

export interface ReplayBatch {
  /** `null`: from the first one. */
  readonly after: SentPlace | null
  /** Messages looked at, at most. */
  readonly limit: number
  /** Copies with new ids, the old one in the header `waybill-replay-of`; what was kept stays as it is. */
  readonly asNew: boolean
}

export interface Replayed {
  /** Messages that go again. */
  readonly replayed: number
  /** Left as they are: every local subscriber has them in its inbox already, so nobody would take them from the outbox. */
  readonly known: number
  /** Left as they are: their channel is not registered any more, or sends at most once now. */
  readonly unroutable: number
  /** Where the next batch begins; `null` where there is none. */
  readonly after: SentPlace | null
}

export interface Tidied {
  /** Whole days that were dropped. */
  readonly days: number
  /** Messages deleted one by one, because no day had been made for them. */
  readonly messages: number
}

/** What past days hold, for whoever looks before something is done. */
export interface SentSurvey {
  /** Kept messages, as the database estimates them from its last look (ANALYZE); -1 where it never looked. */
  readonly kept: number
  /** Days that are past `retainMs`, `yyyy-mm-dd`. */
  readonly pastDays: readonly string[]
  /** Messages outside any day that are past `retainMs`. */
  readonly pastMessages: number
}

/** Messages that were kept after they were sent (`retainMs`): by day (UTC), dropped whole. */
export interface SentMessages {
  /** Makes the next days' partitions. Repeatable; a day that cannot be made is a day whose messages stand outside any. */
  prepare(): Promise<void>
  /**
   * Drops the days that ended more than `retainMs` ago, and deletes at most `limit` messages that stand outside any and are older than
   * that. Waits hardly for locks: what is in use goes the next time.
   */
  tidy(retainMs: number, limit: number): Promise<Tidied>
  survey(retainMs: number): Promise<SentSurvey>
  /** How many match, counted up to `most`; and the database's clock. */
  count(filter: SentFilter, most: number): Promise<{ readonly count: number; readonly now: Date }>
  /**
   * Writes one batch into the outbox again, under new numbers, in the order of the old ones and under the key locks of publish, in
   * one statement. Where ids are kept the messages are moved: called twice it finds nothing the second time.
   */
  replay(filter: SentFilter, batch: ReplayBatch): Promise<Replayed>
}
