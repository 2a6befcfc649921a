/** One version of the schema. Migrations are append-only: what has landed is never edited. */
export interface Migration {
  readonly version: number
  /** Code that knows only versions below this may not run on the schema once this has been applied. */
  readonly oldestCode: number
  /** The statements, for a schema whose name is quoted already. */
  readonly sql: (schema: string) => string
}
