import { isWaybillError, WaybillError } from '../../kernel/errors.ts'

const conflicts = new Set(['40001', '40P01', '55P03'])
const missing = new Set(['3F000', '42P01', '42883', '42703'])
const systemErrors = new Set(['ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'ETIMEDOUT', 'ENOTFOUND', 'EHOSTUNREACH', 'ENOENT'])

/** The driver's error as one of ours, told by SQLSTATE or errno and never by its text (I6). */
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
  if (isConnectionLoss(error)) {
    return new WaybillError(
      'WB_STORE_UNREACHABLE',
      `Could not ${what}: PostgreSQL cannot be reached (${code ?? 'connection lost'}). Check that it runs and accepts connections.`,
      { cause: error, retryable: 'yes' },
    )
  }
  return new WaybillError(
    'WB_STORE_FAILED',
    `Could not ${what}: PostgreSQL refused it (SQLSTATE ${code ?? 'unknown'}).`,
    { cause: error, retryable: code === '57014' ? 'yes' : 'unknown' },
  )
}

/** Whether the connection is gone or the server is going: nothing is known of what was under way. */
export function isConnectionLoss(error: unknown): boolean {
  const code = codeOf(error)
  // The driver's own errors about a lost connection carry no code at all.
  if (code === undefined) return error instanceof Error
  return systemErrors.has(code) || code.startsWith('08') || code.startsWith('57P') || code === '53300'
}

function codeOf(error: unknown): string | undefined {
  if (error instanceof AggregateError) return codeOf(error.errors[0])
  const code = typeof error === 'object' && error !== null ? (error as { code?: unknown }).code : undefined
  return typeof code === 'string' ? code : undefined
}
