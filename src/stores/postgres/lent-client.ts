import { WaybillError } from '../../kernel/errors.ts'
import type { PgPooledClient } from './driver.ts'
import { endsTransaction } from './ends-transaction.ts'

/** A transaction's own view of its pooled client, as its work gets it. */
export interface LentClient {
  /** The client as `pg` made it, for as long as the transaction lasts. */
  readonly handle: object
  /** What was sent to end the transaction, and refused: it must not commit. */
  readonly refused: () => WaybillError | undefined
  /** What comes from now on is refused. */
  readonly takeBack: () => void
}

/**
 * Statements of the transaction's work are looked at before they are sent, since afterwards nothing can be mended:
 *
 * - One that would end the transaction. What is done behind it would stand outside of any, and in a batch so would the neighbours, whose
 *   notes would be committed before their effects, or lost with them.
 * - One that comes too late, by an `await` that was forgotten. It would go into the transaction of whoever has the client next, which may
 *   roll back: nobody would ever know.
 */
export function lend(client: PgPooledClient): LentClient {
  let isOver = false
  let refused: WaybillError | undefined
  const query = (...given: unknown[]): unknown => {
    if (isOver) return refuse(given, tooLate())
    const [first] = given
    const text = typeof first === 'string' ? first : (first as { text?: unknown } | null | undefined)?.text
    if (endsTransaction(text)) return refuse(given, (refused ??= wouldEnd()))
    return (client.query as (...all: unknown[]) => unknown).apply(client, given)
  }
  let own: unknown = query
  const handle = new Proxy(client, {
    get(target, name): unknown {
      if (name === 'query') return isOver ? query : own
      // What a publish asks before it writes.
      if (isOver && name === 'getTransactionStatus') return () => 'I'
      const value: unknown = Reflect.get(target, name)
      return typeof value === 'function' ? (value.bind(target) as unknown) : value
    },
    // Who wraps it, to log or to measure, wraps it for this transaction.
    set(target, name, value) {
      if (name !== 'query') return Reflect.set(target, name, value)
      own = value
      return true
    },
  })
  return {
    handle,
    refused: () => refused,
    takeBack: () => {
      isOver = true
    },
  }
}

/** As the driver answers: to a callback, where there is one. */
function refuse(given: readonly unknown[], error: WaybillError): unknown {
  const callback = given.at(-1)
  if (typeof callback !== 'function') return Promise.reject(error)
  process.nextTick(callback, error)
  return undefined
}

function tooLate(): WaybillError {
  return new WaybillError(
    'WB_NO_TRANSACTION',
    'The statement was not sent: its transaction has ended. Await everything that is done with `tx` before its function returns.',
  )
}

function wouldEnd(): WaybillError {
  return new WaybillError(
    'WB_NO_TRANSACTION',
    'A COMMIT or ROLLBACK was refused: the transaction is Waybill’s, and ends when what was called for it returns or throws. ' +
      'Nothing of it is stored. To undo a part of it use SAVEPOINT and ROLLBACK TO.',
  )
}
