import { headersFrom } from '../../kernel/message.ts'
import type { AskedReplay, Replays } from '../../ports/replays.ts'
import type { Connection } from './connection.ts'
import { claimReplayText, failReplayText, releaseReplayText, takeReplayText } from './replay-statements.ts'
import { named } from './statement.ts'

export function createReplays(connection: Connection, s: string): Replays {
  const claim = named('claim_replay', claimReplayText(s))
  const take = named('take_replay', takeReplayText(s))
  const fail = named('fail_replay', failReplayText(s))
  const release = named('release_replay', releaseReplayText(s))
  return {
    async claim(consumer, channels, leaseMs) {
      const query = { ...claim, values: [consumer, channels, leaseMs] }
      const [row] = await connection.query<ClaimedRow>(query, 'look for replays')
      return row === undefined ? null : replayOf(row)
    },
    async take(transaction, consumer, { number, envelope }) {
      const [row] = await transaction.execute(take, [consumer, number, envelope.id])
      return row!['n'] === 1
    },
    async fail(consumer, { number, envelope }, { attempts, errorCode, error }) {
      const values = [consumer, number, envelope.id, attempts, errorCode, error]
      await connection.query({ ...fail, values }, `write message ${envelope.id} to the dead letters`)
    },
    async release(consumer, { number, envelope }) {
      const values = [consumer, number, envelope.id]
      await connection.query({ ...release, values }, `give the replay of message ${envelope.id} back`)
    },
  }
}

interface ClaimedRow {
  readonly number: string
  readonly id: string
  readonly channel: string
  readonly key: string | null
  readonly payload: Buffer
  readonly content_type: string
  readonly headers: Readonly<Record<string, string>>
  readonly created_at: Date
  readonly is_foreign: boolean
  readonly starts: number
}

function replayOf(row: ClaimedRow): AskedReplay {
  const { id, channel, key, payload, headers, starts } = row
  return {
    number: Number(row.number),
    starts,
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
