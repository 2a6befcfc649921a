import { headersFrom } from '../../kernel/message.ts'
import type {
  DeadLetterCount,
  DeadLetters,
  DeadLetterSummary,
  DeadLetterTarget,
  DeadReason,
  FullDeadLetter,
  KeyName,
  LeftReason,
  ParkedKey,
  PurgeResult,
  ReplayResult,
} from '../../ports/dead-letters.ts'
import type { Queries } from './connection.ts'
import {
  allOf,
  askText,
  clearRowsText,
  countText,
  endLineText,
  filterValues,
  findText,
  keyPlaceText,
  listText,
  lockLettersText,
  lockLineText,
  lockReplaysText,
  lockReplayText,
  lockRowsText,
  purgeText,
  returnText,
  thereText,
  these,
  type Which,
} from './dead-letter-statements.ts'
import { type LendOperation, operate } from './operation.ts'

export function createDeadLetters(lend: LendOperation, s: string): DeadLetters {
  return {
    async list(filter, page) {
      const values = [...filterValues(filter), page.after ?? 0, page.limit]
      const query = { text: listText(s), values }
      const rows = await lend('short', (connection) =>
        connection.query<SummaryRow>(query, 'list dead letters'),
      )
      return rows.map(summaryOf)
    },
    async find(name) {
      const [by, value] = 'number' in name ? (['number', name.number] as const) : (['id', name.id] as const)
      const query = { text: findText(s, by), values: [value] }
      const rows = await lend('short', (connection) =>
        connection.query<FullRow>(query, 'look for a dead letter'),
      )
      return rows.map(fullOf)
    },
    async count(filter) {
      const query = { text: countText(s), values: filterValues(filter) }
      const [row] = await lend('long', (connection) =>
        connection.query<CountRow>(query, 'count dead letters'),
      )
      return countOf(row!)
    },
    replay: (target) =>
      operate(
        (work) => lend('long', work),
        s,
        'replay dead letters',
        (connection) =>
          'numbers' in target
            ? replayNumbers(connection, s, target.numbers)
            : replayKey(connection, s, target),
      ),
    purge: (target) =>
      operate(
        (work) => lend('long', work),
        s,
        'purge dead letters',
        (connection) =>
          'numbers' in target
            ? purgeNumbers(connection, s, target.numbers)
            : purgeKey(connection, s, target.key),
      ),
  }
}

interface Letter {
  readonly number: string
  readonly consumer: string
  readonly was_stored: boolean
  readonly is_asked: boolean
  readonly is_key_parked: boolean
  readonly is_parked: boolean
  readonly has_channel: boolean
  readonly has_consumer: boolean
}

async function replayNumbers(
  connection: Queries,
  s: string,
  numbers: readonly number[],
): Promise<ReplayResult> {
  await connection.query({ text: lockReplaysText(s), values: [numbers] }, 'take a turn at replays')
  const { letters, busy } = await lockLetters(connection, s, numbers)
  const left = new Left()
  left.add('busy', busy)
  const stored = new Map<string, number[]>()
  const foreign: number[] = []
  for (const letter of letters) {
    const why = obstacle(letter)
    if (why !== undefined) left.add(why, 1)
    else if (!letter.was_stored) foreign.push(Number(letter.number))
    else stored.set(letter.consumer, [...(stored.get(letter.consumer) ?? []), Number(letter.number)])
  }
  let returned = 0
  for (const own of stored.values()) {
    const back = await putBack(connection, s, these(own))
    left.add('no-place', own.length - back)
    returned += back
  }
  const query = { text: askText(s), values: [foreign] }
  const asked = foreign.length === 0 ? 0 : await counted(connection, query, 'ask for replays')
  return { returned, asked, left: left.list }
}

function obstacle(letter: Letter): LeftReason | undefined {
  if (letter.is_key_parked) return 'key-parked'
  if (!letter.was_stored) return letter.is_asked ? 'asked-already' : undefined
  if (!letter.has_channel) return 'no-channel'
  return letter.has_consumer ? undefined : 'no-consumer'
}

async function replayKey(
  connection: Queries,
  s: string,
  target: Extract<DeadLetterTarget, { readonly key: KeyName }>,
): Promise<ReplayResult> {
  const nothing: ReplayResult = { returned: 0, asked: 0, left: [] }
  await connection.query({ text: lockReplayText(s), values: [target.key.channel] }, 'take a turn at replays')
  const head = await lockLine(connection, s, target.key)
  // Somebody was faster: with the line the key has gone back as a whole.
  if (head === undefined) return nothing
  const them = allOf(target, head)
  const [place] = await connection.query<KeyPlace>(
    { text: keyPlaceText(s, them), values: [...them.values] },
    'look at a parked key',
  )
  const why = place === undefined ? undefined : keyObstacle(place)
  if (why !== undefined) return { ...nothing, left: [{ why, count: place!.n }] }
  const returned = await putBack(connection, s, them)
  await endLine(connection, s, target.key)
  return { ...nothing, returned }
}

interface KeyPlace {
  readonly has_channel: boolean
  readonly has_consumer: boolean
  readonly is_elsewhere: boolean
  readonly n: number
}

function keyObstacle(place: KeyPlace): LeftReason | undefined {
  if (!place.has_channel) return 'no-channel'
  if (!place.has_consumer) return 'no-consumer'
  return place.is_elsewhere ? 'no-place' : undefined
}

/** Each statement looks again at what the locks of the one before it have shown. */
async function putBack(connection: Queries, s: string, them: Which): Promise<number> {
  const values = [...them.values]
  await connection.query({ text: lockRowsText(s, them), values }, 'hold rows that others need')
  await connection.query({ text: clearRowsText(s, them), values }, 'hold rows that others need')
  return await counted(connection, { text: returnText(s, them), values }, 'put dead letters back')
}

async function purgeNumbers(
  connection: Queries,
  s: string,
  numbers: readonly number[],
): Promise<PurgeResult> {
  const { letters, busy } = await lockLetters(connection, s, numbers)
  const left = new Left()
  left.add('busy', busy)
  const free = letters.filter((letter) => !letter.is_parked).map((letter) => Number(letter.number))
  left.add('key-parked', letters.length - free.length)
  const them = these(free)
  const query = { text: purgeText(s, them), values: [...them.values] }
  return { purged: await counted(connection, query, 'purge dead letters'), left: left.list }
}

async function purgeKey(connection: Queries, s: string, key: KeyName): Promise<PurgeResult> {
  const head = await lockLine(connection, s, key)
  if (head === undefined) return { purged: 0, left: [] }
  const them = allOf({ key }, head)
  const query = { text: purgeText(s, them), values: [...them.values] }
  const purged = await counted(connection, query, 'purge a parked key')
  await endLine(connection, s, key)
  return { purged, left: [] }
}

async function lockLetters(
  connection: Queries,
  s: string,
  numbers: readonly number[],
): Promise<{ readonly letters: readonly Letter[]; readonly busy: number }> {
  const values = [numbers]
  const letters = await connection.query<Letter>({ text: lockLettersText(s), values }, 'hold dead letters')
  if (letters.length === numbers.length) return { letters, busy: 0 }
  const there = await counted(connection, { text: thereText(s), values }, 'look for dead letters')
  return { letters, busy: Math.max(0, there - letters.length) }
}

interface Head {
  readonly partition: number
  readonly seq: string
  readonly id: string
}

async function lockLine(connection: Queries, s: string, key: KeyName): Promise<Head | undefined> {
  const query = { text: lockLineText(s), values: nameOf(key) }
  const [head] = await connection.query<Head>(query, 'hold a parked key')
  return head
}

async function endLine(connection: Queries, s: string, key: KeyName): Promise<void> {
  await connection.query({ text: endLineText(s), values: nameOf(key) }, 'end a parked key')
}

async function counted(
  connection: Queries,
  query: { readonly text: string; readonly values: unknown[] },
  what: string,
): Promise<number> {
  const [row] = await connection.query<{ n: number }>(query, what)
  return row!.n
}

function nameOf({ consumer, channel, key }: KeyName): unknown[] {
  return [consumer, channel, key]
}

class Left {
  readonly #counts = new Map<LeftReason, number>()

  add(why: LeftReason, count: number): void {
    if (count > 0) this.#counts.set(why, (this.#counts.get(why) ?? 0) + count)
  }

  get list(): ReplayResult['left'] {
    return [...this.#counts].map(([why, count]) => ({ why, count }))
  }
}

interface SummaryRow {
  readonly number: string
  readonly consumer: string
  readonly id: string
  readonly channel: string
  readonly key: string | null
  readonly reason: DeadReason
  readonly attempts: number
  readonly error_code: string
  readonly error: string
  readonly created_at: Date
  readonly died_at: Date
  readonly replay_at: Date | null
  readonly age_ms: number
  readonly is_from_broker: boolean
  readonly is_key_parked: boolean
}

function summaryOf(row: SummaryRow): DeadLetterSummary {
  const { consumer, id, channel, key, reason, attempts, error } = row
  return {
    number: Number(row.number),
    consumer,
    id,
    channel,
    key,
    reason,
    attempts,
    errorCode: row.error_code,
    error,
    createdAt: row.created_at,
    diedAt: row.died_at,
    ageMs: row.age_ms,
    isFromBroker: row.is_from_broker,
    replayAt: row.replay_at,
    isKeyParked: row.is_key_parked,
  }
}

interface FullRow extends SummaryRow {
  readonly payload: Buffer
  readonly content_type: string
  readonly headers: Readonly<Record<string, string>>
  readonly partition: number | null
  readonly seq: string | null
  readonly first_error_code: string | null
  readonly first_error: string | null
  readonly first_failed_at: Date | null
}

function fullOf(row: FullRow): FullDeadLetter {
  return {
    ...summaryOf(row),
    payload: row.payload,
    contentType: row.content_type,
    headers: headersFrom(Object.entries(row.headers)),
    partition: row.partition,
    seq: row.seq === null ? null : BigInt(row.seq),
    // It failed once: the first error is the last.
    firstErrorCode: row.first_error_code ?? row.error_code,
    firstError: row.first_error ?? row.error,
    firstFailedAt: row.first_failed_at ?? row.died_at,
  }
}

interface CountRow {
  readonly messages: number
  readonly of_parked_keys: number
  readonly up_to: number
  readonly parked_keys: readonly ParkedKey[]
}

function countOf(row: CountRow): DeadLetterCount {
  return {
    messages: row.messages,
    ofParkedKeys: row.of_parked_keys,
    parkedKeys: row.parked_keys,
    upTo: row.up_to,
  }
}
