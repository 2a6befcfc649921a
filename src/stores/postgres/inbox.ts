import type { Inbox, RefusedMessage } from '../../ports/inbox.ts'
import type { SqlExecutor, SqlRow } from '../../ports/sql.ts'
import type { Connection } from './connection.ts'
import {
  admitAloneText,
  admitText,
  countStartText,
  takeBackStartText,
  refuseText,
  seenText,
  takeText,
} from './inbox-statements.ts'
import { countLossesText, lossColumns } from './loss-statements.ts'
import { holdLeaseText } from './lease-statements.ts'
import { createPurge } from './purge.ts'
import { named, type Suited, unprepared } from './statement.ts'
import { uuidArray } from './binary-arrays.ts'

/** The inbox. Statements in the handlers' transaction run on its executor; the others on connections of their own. */
export function createInbox(
  connections: { readonly inbox: Connection; readonly cleanup: Connection },
  s: string,
  { keeps, suited }: { readonly keeps: boolean; readonly suited: Suited },
): Inbox {
  const connection = connections.inbox
  const admit = named('admit', admitText(s))
  // Planned anew each time: a plan that a caller's connection made while the table was empty would read all of it (P10).
  const admitAlone = unprepared(admitAloneText(s))
  const take = unprepared(takeText(s, keeps))
  const seen = unprepared(seenText(s))
  const countStart = named('count_start', countStartText(s))
  const takeBackStart = named('take_back_start', takeBackStartText(s))
  const refuse = named('refuse', refuseText(s))
  const holdLease = named('hold_lease', holdLeaseText(s))
  const countLosses = named('count_losses', countLossesText(s))
  return {
    async admit(transaction, consumer, ids) {
      const values = [consumer, uuidArray(ids, (id) => id)]
      const [row] = await suited(transaction).execute(ids.length === 1 ? admitAlone : admit, values)
      return new Set(idsIn(row!['new_ids'] as string | null, ids))
    },
    async take(transaction, consumer, rows) {
      const sorted = rows.toSorted((a, b) => a.partition - b.partition || (a.seq < b.seq ? -1 : 1))
      const values = [
        consumer,
        sorted.map((row) => row.partition),
        sorted.map((row) => row.seq.toString()),
        sorted.map((row) => row.id),
        sorted.map((row) => row.channel),
      ]
      const taken = await suited(transaction).execute(take, values)
      const deleted = taken.filter((row) => row['is_deleted'] === true).map(idOf)
      const handled = deleted.length === 0 ? none : await handledBefore(transaction, consumer, deleted)
      return new Set(taken.map(idOf).filter((id) => !handled.has(id)))
    },
    async countStart(consumer, id) {
      const query = { ...countStart, values: [consumer, id] }
      const [row] = await connection.query<{ starts: number }>(query, 'count an attempt')
      return row!.starts
    },
    async takeBackStart(consumer, id) {
      await connection.query({ ...takeBackStart, values: [consumer, id] }, 'take an attempt back')
    },
    purge: createPurge(connections.cleanup, s),
    async holdsLease(transaction, consumer, { partition, epoch }) {
      const rows = await suited(transaction).execute(holdLease, [consumer, partition, epoch.toString()])
      return rows.length > 0
    },
    async countLosses(consumer, losses) {
      if (losses.length === 0) return
      const values = [consumer, ...lossColumns(losses)]
      await connection.query({ ...countLosses, values }, 'count what was lost')
    },
    async bury(consumer: string, message: RefusedMessage, transaction?: SqlExecutor) {
      const { envelope: e, attempts, reason, errorCode, error } = message
      const payload = Buffer.from(e.payload.buffer, e.payload.byteOffset, e.payload.byteLength)
      const values: unknown[] = [
        consumer,
        e.id,
        e.channel,
        e.key,
        payload,
        e.contentType,
        JSON.stringify(e.headers),
      ]
      values.push(e.createdAt.toISOString(), attempts, reason, errorCode, error, e.isForeign === true)
      const [row] =
        transaction === undefined
          ? await connection.query({ ...refuse, values }, `write message ${e.id} to the dead letters`)
          : await suited(transaction).execute(refuse, values)
      return Number(row!['written']) === 1
    },
  }

  /**
   * While the deletes waited for another transaction on the same rows, that one may have noted them in the inbox: it had begun
   * when there was a second consumer. Only a later statement's snapshot shows it.
   */
  async function handledBefore(
    transaction: SqlExecutor,
    consumer: string,
    ids: readonly string[],
  ): Promise<ReadonlySet<string>> {
    const rows = await suited(transaction).execute(seen, [consumer, ids])
    return new Set(rows.map(idOf))
  }
}

const none: ReadonlySet<string> = new Set()

/** `null`: all that were asked for. The empty text splits into one that is none. */
function idsIn(text: string | null, asked: readonly string[]): readonly string[] {
  if (text === null) return asked
  return text === '' ? [] : text.split(',')
}

function idOf(row: SqlRow): string {
  return String(row['id'])
}
