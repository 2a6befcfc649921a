/**
 * Every error code Waybill raises. The list is closed: a code that is not here does not compile.
 * Codes are stable; messages are not.
 */
export const errorCodes = [
  'WB_NO_TRANSACTION',
  'WB_UNKNOWN_CHANNEL',
  'WB_INVALID_PAYLOAD',
  'WB_KEY_REQUIRED',
  'WB_UNSERIALISABLE',
  'WB_NUL_CHARACTER',
  'WB_MESSAGE_TOO_LARGE',
  'WB_TOO_MANY_KEYS',
  'WB_BACKLOG_FULL',
  'WB_INVALID_HEADER',
  'WB_INVALID_ID',
  'WB_SCHEMA_MISSING',
  'WB_SCHEMA_OUTDATED',
  'WB_SCHEMA_TOO_NEW',
  'WB_CHANNEL_CONFLICT',
  'WB_STORE_UNREACHABLE',
  'WB_STORE_CONFLICT',
  'WB_STORE_FAILED',
  'WB_CHECKPOINT_MISMATCH',
  'WB_FENCED_MISMATCH',
  'WB_BROKER_UNREACHABLE',
  'WB_INVALID_OPTION',
  'WB_INVALID_CONFIG',
  'WB_GUARANTEE_UNSUPPORTED',
  'WB_PEER_MISSING',
  'WB_PROOF_FAILED',
  'WB_NOT_RUNNING',
  'WB_TIMED_OUT',
  'WB_ABORTED',
  'WB_COMMIT_OUTCOME_UNKNOWN',
  'WB_PUBLISH_OUTCOME_UNKNOWN',
  'WB_PUBLISH_REJECTED',
  'WB_TRANSACTION_ROLLED_BACK',
  'WB_ENVELOPE_INVALID',
  'WB_VERSION_UNKNOWN',
  'WB_UPCAST_FAILED',
  'WB_HANDLER_FAILED',
  'WB_MESSAGE_REJECTED',
  'WB_RETRY_LATER',
  'WB_DEMO_FAILED',
] as const

/** One of {@link errorCodes}. */
export type ErrorCode = (typeof errorCodes)[number]

/** Whether trying the same call again can help. `unknown`: the call may have had its effect already. */
export type Retryable = 'yes' | 'no' | 'unknown'

export interface WaybillErrorOptions {
  readonly cause?: unknown
  /** @default 'no' */
  readonly retryable?: Retryable
}

// Two copies of the package can be loaded in one process, so the brand is a registered symbol, not a class identity.
const brand = Symbol.for('waybill.error')

/**
 * The base of everything Waybill throws. A message says what happened, to which id, and what to do next; it never
 * carries a payload, a password or a connection string.
 */
export class WaybillError extends Error {
  override readonly name: string = 'WaybillError'
  readonly code: ErrorCode
  readonly retryable: Retryable

  constructor(code: ErrorCode, message: string, options: WaybillErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.retryable = options.retryable ?? 'no'
    Object.defineProperty(this, brand, { value: true })
  }
}

/**
 * The connection was lost between COMMIT and its answer: the transaction may have committed or not. Ask the database,
 * by {@link CommitOutcomeUnknownError.transactionId} where it is known or by the business row, before doing it again.
 */
export class CommitOutcomeUnknownError extends WaybillError {
  override readonly name: string = 'CommitOutcomeUnknownError'
  /** The database's id of the transaction (PostgreSQL: for `pg_xact_status`), where it was learned before the loss. */
  readonly transactionId: string | undefined

  constructor(transactionId: string | undefined, cause: unknown) {
    const which = transactionId === undefined ? 'The transaction' : `Transaction ${transactionId}`
    super(
      'WB_COMMIT_OUTCOME_UNKNOWN',
      `${which} may have committed or not: the connection was lost before COMMIT was answered. ` +
        'Look for its rows before doing it again.',
      { cause, retryable: 'unknown' },
    )
    this.transactionId = transactionId
  }
}

/**
 * `send()` did not learn in time whether the transport has a message: it may be delivered or not. Send it again with the same
 * id, {@link PublishOutcomeUnknownError.messageId}: a consumer that deduplicates then has it once.
 */
export class PublishOutcomeUnknownError extends WaybillError {
  override readonly name: string = 'PublishOutcomeUnknownError'
  readonly messageId: string

  constructor(messageId: string, channel: string, code: string) {
    super(
      'WB_PUBLISH_OUTCOME_UNKNOWN',
      `Message ${messageId} on channel "${channel}" may have been sent or not (${code}): its transport did not confirm it in ` +
        'time. Send it again with the same id.',
      { retryable: 'unknown' },
    )
    this.messageId = messageId
  }
}

/** Whether `value` is a Waybill error, of this copy of the package or another. */
export function isWaybillError(value: unknown): value is WaybillError {
  return typeof value === 'object' && value !== null && brand in value
}

/**
 * What of an error may be stored and logged: its name or code and its message, shortened. Payloads never get here, but a
 * driver's message may quote a connection string, so credentials in URLs are cut out.
 */
export function describeError(
  error: unknown,
  maxLength = 500,
): { readonly code: string; readonly message: string } {
  if (!(error instanceof Error)) return { code: 'Error', message: clean(error, maxLength) }
  const code = (error as { code?: unknown }).code
  const own =
    error.message === '' && error instanceof AggregateError ? String(error.errors[0]) : error.message
  const name = typeof code === 'string' && code !== '' ? code : error.name
  return { code: clean(name, mostCode), message: clean(own, maxLength) }
}

/** A library may put anything there, and it is a label of metrics. */
const mostCode = 100

function clean(said: unknown, maxLength: number): string {
  // A NUL cannot be stored by PostgreSQL, and an error line that cannot be written would block its key for ever.
  const safe = String(said)
    .replaceAll('\0', '\uFFFD')
    // To the last @ of the word: a password may hold one, or a slash, that should have been escaped.
    .replaceAll(/\b([a-z][a-z0-9+.-]*:\/\/)\S*@/giu, '$1***@')
    .replaceAll(/\b(password|passwd|pwd|secret|token)=[^\s&]+/giu, '$1=***')
  return safe.length <= maxLength ? safe : `${safe.slice(0, maxLength - 1)}…`
}
