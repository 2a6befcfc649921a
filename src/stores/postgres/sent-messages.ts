import type { ReplayBatch, Replayed, SentFilter, SentMessages } from '../../ports/sent-messages.ts'
import type { Connection } from './connection.ts'
import { SentDays } from './sent-days.ts'
import { replayText, sentCountText } from './replay-statement.ts'

interface Answer {
  readonly seen: number
  readonly replayed: number
  readonly known: number
  readonly unroutable: number
  readonly partition: number | null
  readonly seq: string | null
  readonly id: string | null
}

/**
 * What was sent and kept. On connections apart from what relays and handlers need (G1): days on that of the cleanup, and an operator's
 * search, which may have to look at all of a day, on one with more time.
 */
export function createSentMessages(
  { cleanup, search: connection }: { readonly cleanup: Connection; readonly search: Connection },
  s: string,
): SentMessages {
  const days = new SentDays(cleanup, s)
  return {
    prepare: () => days.prepare(),
    tidy: (retainMs, limit) => days.tidy(retainMs, limit),
    survey: (retainMs) => days.survey(retainMs),
    async count(filter, most) {
      const query = { text: sentCountText(s), values: [...conditions(filter), most] }
      const [row] = await connection.query<{ count: number; now: Date }>(query, 'count sent messages')
      return { count: row!.count, now: row!.now }
    },
    async replay(filter, batch): Promise<Replayed> {
      const values = [...conditions(filter), ...placeOf(batch)]
      const query = { text: replayText(s, batch.asNew), values }
      const [row] = await connection.query<Answer>(query, 'replay sent messages')
      const { seen, replayed, known, unroutable, partition, seq, id } = row!
      const after =
        seen < batch.limit || partition === null || seq === null || id === null
          ? null
          : { partition, seq: BigInt(seq), id }
      return { replayed, known, unroutable, after }
    },
  }
}

function conditions({ channel, key, since, until }: SentFilter): unknown[] {
  return [channel ?? null, key ?? null, since?.toISOString() ?? null, until?.toISOString() ?? null]
}

const first = { partition: -1, seq: 0n, id: '00000000-0000-0000-0000-000000000000' }

function placeOf({ after, limit }: ReplayBatch): unknown[] {
  const { partition, seq, id } = after ?? first
  return [limit, partition, seq.toString(), id]
}
