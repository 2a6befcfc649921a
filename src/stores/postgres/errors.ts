import { isWaybillError, WaybillError } from '../../kernel/errors.ts'

/** serialization_failure, deadlock_detected, lock_not_available. */
const conflicts = new Set(['40001', '40P01', '55P03'])
/** undefined_table, invalid_schema_name, undefined_function, undefined_column. */
const missing = new Set(['42P01', '3F000', '42883', '42703'])
/**
 * The session cannot go on, though its connection could: read only (it is a replica now, after a fail-over), a prepared statement
 * that is not there (a pooler gave us another session), a cached plan that a migration has made wrong.
 */
const stale = new Set(['25006', '26000', '0A000'])

/** The driver's error as one of ours, told by SQLSTATE or errno and never by its text (I6). `what` follows "Could not". */
export function storeError(error: unknown, what: string): WaybillError {
  if (isWaybillError(error)) return error
  const code = codeOf(error)
  if (code !== undefined && conflicts.has(code)) {
    return new WaybillError(
      'WB_STORE_CONFLICT',
      `Could not ${what}: it met another transaction (SQLSTATE ${code}). Roll back and run the transaction again.`,
      { cause: error, retryable: 'yes' },
    )
  }
  if (code !== undefined && missing.has(code)) {
    return new WaybillError(
      'WB_SCHEMA_MISSING',
      `Could not ${what}: Waybill's tables are not there (SQLSTATE ${code}). Run \`waybill migrate\` first.`,
      { cause: error },
    )
  }
  if (code !== undefined && (code.startsWith('28') || code === '3D000')) {
    return new WaybillError(
      'WB_STORE_UNREACHABLE',
      `Could not ${what}: PostgreSQL refused the connection (SQLSTATE ${code}). Check user, password and database.`,
      { cause: error },
    )
  }
  if (isConnectionLoss(error)) {
    return new WaybillError(
      'WB_STORE_UNREACHABLE',
      `Could not ${what}: PostgreSQL cannot be reached (${code ?? 'connection lost'}). Check that it runs and accepts connections.`,
      { cause: error, retryable: 'yes' },
    )
  }
  if (code === '42501') {
    return new WaybillError(
      'WB_STORE_FAILED',
      `Could not ${what}: the role it is connected as lacks a right (SQLSTATE ${code}). SECURITY.md in the package lists what to grant to whom.`,
      { cause: error },
    )
  }
  if (isStaleSession(error)) {
    const why =
      code === '25006'
        ? 'the transaction or the server is read-only: BEGIN READ ONLY, its default, or a replica'
        : 'its session has changed'
    return new WaybillError(
      'WB_STORE_FAILED',
      `Could not ${what}: ${why} (SQLSTATE ${code}). Roll back and run the transaction again.`,
      { cause: error, retryable: 'yes' },
    )
  }
  // query_canceled: the server has ended it, and rolled it back.
  if (code === '57014') {
    return new WaybillError(
      'WB_STORE_FAILED',
      `Could not ${what}: it took longer than its time-out (SQLSTATE ${code}), which is statementTimeoutMs or the role's own. Try it ` +
        'again, and give it more where it happens again and again.',
      { cause: error, retryable: 'yes' },
    )
  }
  return new WaybillError(
    'WB_STORE_FAILED',
    `Could not ${what}: PostgreSQL refused it (SQLSTATE ${code ?? 'unknown'}). Read the cause: a full disk, say, or a ` +
      'schema that was changed by hand.',
    { cause: error, retryable: 'unknown' },
  )
}

/** Whether the connection is gone or the server is going: nothing is known of what was under way. */
export function isConnectionLoss(error: unknown): boolean {
  if (isWaybillError(error)) return error.code === 'WB_STORE_UNREACHABLE'
  if (isSystemError(error)) return true
  const code = codeOf(error)
  // The driver's own errors about a lost connection carry no code at all; a programming error is none of them.
  if (code === undefined)
    return error instanceof Error && !(error instanceof TypeError || error instanceof RangeError)
  // connection exception, admin or crash shutdown, cannot connect now, too many connections, idle in transaction too long
  return code.startsWith('08') || code.startsWith('57P') || code === '53300' || code === '25P03'
}

/**
 * Whether a pool has had no client free for as long as it was made to wait. Its error has no code and nothing but its text to go by, which
 * is the pool's own and no server's: in other words it reads as a lost connection again.
 */
export function isPoolTimeOut(error: unknown): boolean {
  return error instanceof Error && error.message === 'timeout exceeded when trying to connect'
}

/** Whether a new connection would do what this one cannot. */
export function isStaleSession(error: unknown): boolean {
  const code = codeOf(error)
  return code !== undefined && stale.has(code)
}

function codeOf(error: unknown): string | undefined {
  if (error instanceof AggregateError) return codeOf(error.errors[0])
  const code = typeof error === 'object' && error !== null ? (error as { code?: unknown }).code : undefined
  return typeof code === 'string' ? code : undefined
}

function isSystemError(error: unknown): boolean {
  if (error instanceof AggregateError) return isSystemError(error.errors[0])
  return error instanceof Error && typeof (error as { syscall?: unknown }).syscall === 'string'
}
