import { headersFrom } from '../../kernel/message.ts'
import type { AskedReplay, Replays } from '../../ports/replays.ts'
import type { Connection } from './connection.ts'
import { askedText, failReplayText, takeReplayText } from './replay-statements.ts'
import { named } from './statement.ts'

export function createReplays(connection: Connection, s: string): Replays {
  const asked = named('asked_replays', askedText(s))
  const take = named('take_replay', takeReplayText(s))
  const fail = named('fail_replay', failReplayText(s))
  return {
    async asked(consumer, channels, limit) {
      const query = { ...asked, values: [consumer, channels, limit] }
      return (await connection.query<AskedRow>(query, 'look for replays')).map(replayOf)
    },
    async take(transaction, consumer, { number, envelope }) {
      const [row] = await transaction.execute(take, [consumer, number, envelope.id])
      return row!['n'] === 1
    },
    async fail(consumer, { number, envelope }, { attempts, errorCode, error }) {
      const values = [consumer, number, envelope.id, attempts, errorCode, error]
      await connection.query({ ...fail, values }, `write message ${envelope.id} to the dead letters`)
    },
  }
}

interface AskedRow {
  readonly number: string
  readonly id: string
  readonly channel: string
  readonly key: string | null
  readonly payload: Buffer
  readonly content_type: string
  readonly headers: Readonly<Record<string, string>>
  readonly created_at: Date
  readonly is_foreign: boolean
  readonly attempts: number
}

function replayOf(row: AskedRow): AskedReplay {
  const { id, channel, key, payload, headers } = row
  return {
    number: Number(row.number),
    attempts: row.attempts,
    envelope: {
      id,
      channel,
      key,
      payload,
      contentType: row.content_type,
      headers: headersFrom(Object.entries(headers)),
      createdAt: row.created_at,
      ...(row.is_foreign && { isForeign: true as const }),
    },
  }
}
