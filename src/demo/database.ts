/** What the demo, and the proof, use of a transaction's client. */
export interface Client {
  query(text: string, values?: unknown[]): Promise<{ readonly rows: readonly Record<string, unknown>[] }>
}

/** Runs one statement and resolves with its rows. */
export type Query = (text: string, values?: unknown[]) => Promise<readonly Record<string, unknown>[]>
