import type { HeldKey, Keys, KeyState, LineName, SkipOutcome } from '../../ports/keys.ts'
import type { Queries } from './connection.ts'
import {
  countKeysText,
  keyFilterValues,
  lineColumns,
  listKeysText,
  lockHeadText,
  lockLinesText,
  skipText,
  unblockText,
} from './key-statements.ts'
import { type LendOperation, operate } from './operation.ts'
import { removeText } from './outbox-remove-statements.ts'

/** `keeps`: delivered rows are kept for a while, also those that this consumer did not get. */
export function createKeys(lend: LendOperation, s: string, keeps: boolean): Keys {
  return {
    async list(filter, { after, limit }) {
      const from = [after?.consumer ?? null, after?.partition ?? null, after?.seq.toString() ?? null]
      const query = { text: listKeysText(s), values: [...keyFilterValues(filter), ...from, limit] }
      const rows = await lend('short', (connection) => connection.query<KeyRow>(query, 'list held keys'))
      return rows.map(heldKeyOf)
    },
    async count(filter) {
      const query = { text: countKeysText(s), values: keyFilterValues(filter) }
      const [row] = await lend('short', (connection) =>
        connection.query<{ n: number }>(query, 'count held keys'),
      )
      return row!.n
    },
    unblock: (lines) =>
      operate(
        (work) => lend('short', work),
        s,
        'unblock keys',
        async (connection) => {
          const values = lineColumns(lines)
          await connection.query({ text: lockLinesText(s), values }, 'hold lines')
          const [row] = await connection.query<{ n: number }>(
            { text: unblockText(s), values },
            'unblock keys',
          )
          return row!.n
        },
      ),
    skip: (line) =>
      operate(
        (work) => lend('short', work),
        s,
        'skip the head of a key',
        (connection) => skip(connection, s, keeps, line),
      ),
  }
}

async function skip(connection: Queries, s: string, keeps: boolean, line: LineName): Promise<SkipOutcome> {
  const locked = await connection.query<{ state: KeyState }>(
    { text: lockLinesText(s), values: lineColumns([line]) },
    'hold a line',
  )
  if (locked[0]?.state === 'parked') return 'parked'
  const values = [line.consumer, line.partition, line.seq.toString()]
  const head = await connection.query<{ id: string }>(
    { text: lockHeadText(s), values },
    'hold the head of a key',
  )
  const [row] = await connection.query<{ letters: number }>({ text: skipText(s), values }, 'skip a message')
  if (line.consumer !== '' && head.length > 0) {
    // A later statement: it sees which of the other consumers have the row by now.
    const text = removeText(s, { transport: '', consumer: line.consumer }, keeps && 'shared', 'noted')
    const row = [[line.partition], [line.seq.toString()], [head[0]!.id], line.consumer]
    await connection.query({ text, values: row }, 'delete a row that every consumer has')
  }
  return row!.letters === 0 ? 'gone' : 'skipped'
}

interface KeyRow {
  readonly consumer: string
  readonly partition: number
  readonly seq: string
  readonly id: string
  readonly channel: string
  readonly key: string | null
  readonly state: KeyState
  readonly attempts: number
  readonly retry_at: Date | null
  readonly error_code: string
  readonly error: string
  readonly first_failed_at: Date
  readonly parked_messages: number
}

function heldKeyOf(row: KeyRow): HeldKey {
  const { consumer, partition, id, channel, key, state, attempts, error } = row
  return {
    consumer,
    partition,
    seq: BigInt(row.seq),
    id,
    channel,
    key,
    state,
    attempts,
    retryAt: row.retry_at,
    errorCode: row.error_code,
    error,
    firstFailedAt: row.first_failed_at,
    parkedMessages: row.parked_messages,
  }
}
