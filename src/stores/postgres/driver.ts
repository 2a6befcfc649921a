/** What the store uses of a `pg` result. */
export interface PgResult {
  // oxlint-disable-next-line typescript/no-explicit-any -- as pg types its rows; every reader names the columns it takes
  readonly rows: any[]
  readonly rowCount: number | null
  /** The command tag's first word: COMMIT answers ROLLBACK where the transaction had failed. */
  readonly command: string
}

export interface PgQuery {
  readonly types?: { getTypeParser(type: number): (value: string) => unknown }
  readonly rowMode?: 'array'
  /** All columns of the answer in the binary format. */
  readonly binary?: boolean
  readonly name?: string
  readonly text: string
  readonly values?: unknown[]
}

/** A `pg` client, as handlers and `transaction()` get it: inside the transaction. */
export interface PgClient {
  query(text: string, values?: unknown[]): Promise<PgResult>
  query(query: PgQuery): Promise<PgResult>
}

export interface PgNotice {
  readonly code?: string | undefined
}

/** What LISTEN brings. */
export interface PgNotification {
  readonly channel: string
  readonly payload?: string | undefined
}

/** What the store asks of a client it owns or borrows. */
export interface PgConnection extends PgClient {
  connect(): Promise<unknown>
  end(): Promise<void>
  on(event: 'error', listener: (error: Error) => void): unknown
  on(event: 'notice', listener: (notice: PgNotice) => void): unknown
  on(event: 'notification', listener: (notification: PgNotification) => void): unknown
  off(event: 'error', listener: (error: Error) => void): unknown
  off(event: 'notice', listener: (notice: PgNotice) => void): unknown
  getTransactionStatus(): 'I' | 'T' | 'E' | null
  readonly pipeline?: boolean
  /** What the server said at the start of the connection. */
  readonly processID?: number | null | undefined
  /** Lets the process end though the connection is open. */
  unref?(): void
}

export interface PgPooledClient extends PgConnection {
  /** `true` destroys the connection in place of giving it to the next. */
  release(destroy?: boolean): void
}

/** A `pg` pool. */
export interface PgPool {
  connect(): Promise<PgPooledClient>
  end(): Promise<void>
  /** Who waits for a client. */
  readonly waitingCount?: number
  // The pool keeps what it was made with; connections that must not come from the pool are made with the same.
  readonly options: object
}

export interface PgModule {
  readonly Client: new (options: object) => PgConnection
  readonly Pool: new (options: object) => PgPool
}
