/** Something new is in the outbox for a transport. */
export interface News {
  readonly transport: string
  /**
   * `false`: by a transaction that somebody else owns, which may commit at any moment and tells nobody. So it is worth looking
   * soon and a few times, and not at once.
   */
  readonly isCommitted: boolean
}

/** Hears what other processes ring. */
export interface Ear {
  /** Sees to it that it hears, and connects anew where it does not. Throws where it cannot. */
  check(): Promise<void>
  /** Never throws. */
  close(): Promise<void>
}

/**
 * Wake-ups between the processes of one store (PROTOCOLS 8). They save waiting and nothing rests on them: what is rung may be
 * lost, come late or come twice, and polling is always behind it.
 */
export interface Bell {
  /** One short statement on a connection of its own, so never in a transaction of anybody's. */
  ring(news: readonly News[]): Promise<void>
  /**
   * `hear` is called with what other processes ring for these transports from the first `check` on; after a connection was made
   * anew, with everything, since nobody knows what was missed. `null` where nothing can be heard: polling finds everything then.
   */
  listen(transports: readonly string[], hear: (news: News) => void): Ear | null
}
