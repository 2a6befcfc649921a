/** Rows that a cleanup would delete at this moment. */
export interface CleanupSurvey {
  /** Of the inbox: older than its retention, and needed by nothing that waits, fails or is dead. Counted up to a limit. */
  readonly inbox: number
  /** The same of attempts that are counted. */
  readonly attempts: number
  /** Registrations of relays that are long gone. */
  readonly relays: number
}

/** What is cleaned up besides the inbox's and the sent messages' own: see `Inbox.purge` and `SentMessages.tidy`. */
export interface Cleaner {
  /** Counts by the same rules by which rows go, each up to `most`; changes nothing. */
  survey(inboxRetentionMs: number, most: number): Promise<CleanupSurvey>
  /** Deletes registrations of relays that gave no sign of life for a day and hold nothing. Returns how many. */
  forgetRelays(): Promise<number>
}
