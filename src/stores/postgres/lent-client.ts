import { WaybillError } from '../../kernel/errors.ts'
import type { PgPooledClient } from './driver.ts'

export interface LentClient {
  /** The client as `pg` made it, for as long as the transaction lasts. */
  readonly handle: object
  /** What comes from now on is refused. */
  readonly takeBack: () => void
}

/**
 * A transaction's own view of its pooled client. Who keeps it for too long, by an `await` that was forgotten, would write into the transaction
 * of whoever has the client next, which may roll back: nobody would ever know.
 */
export function lend(client: PgPooledClient): LentClient {
  let isOver = false
  const query = (...given: unknown[]): unknown => {
    if (!isOver) return (client.query as (...all: unknown[]) => unknown).apply(client, given)
    const callback = given.at(-1)
    if (typeof callback !== 'function') return Promise.reject(ended())
    process.nextTick(callback, ended())
    return undefined
  }
  const handle = new Proxy(client, {
    get(target, name): unknown {
      if (name === 'query') return query
      // What a publish asks before it writes.
      if (isOver && name === 'getTransactionStatus') return () => 'I'
      const value: unknown = Reflect.get(target, name)
      return typeof value === 'function' ? (value.bind(target) as unknown) : value
    },
  })
  return {
    handle,
    takeBack: () => {
      isOver = true
    },
  }
}

function ended(): WaybillError {
  return new WaybillError(
    'WB_NO_TRANSACTION',
    'The statement was not sent: its transaction has ended. Await everything that is done with `tx` before its function returns.',
  )
}
