import { headersFrom, type MessageHeaders } from '../../kernel/message.ts'
import type { Lane } from '../../ports/lane.ts'
import type { OutboxRow, ReadRequest, ReadResult, RowOrigin, RowRef } from '../../ports/outbox.ts'
import type { Connection } from './connection.ts'
import type { PgQuery } from './driver.ts'
import { origins, readStatement } from './outbox-read-statement.ts'
import { named } from './statement.ts'

/** Text as the server sent it: each value is parsed below, once. */
const rawTypes = { getTypeParser: () => (value: string) => value }

type Columns = readonly (string | null)[]

export class OutboxReader {
  readonly #connection: Connection
  readonly #consumer: string
  readonly #query: PgQuery

  constructor(connection: Connection, schema: string, lane: Lane) {
    this.#connection = connection
    this.#consumer = lane.consumer
    this.#query = { ...named('read', readStatement(schema, lane)), types: rawTypes, rowMode: 'array' }
  }

  async read(request: ReadRequest): Promise<ReadResult> {
    const { partitions, last } = request
    const values = [
      partitions.map((each) => each.partition),
      partitions.map((each) => each.floor.toString()),
      last === null ? [] : last.open.map(String),
      // With no snapshot before it all floors are 0, and nothing lies below them.
      last === null ? null : last.xmax.toString(),
      request.upperLimit,
      request.lateLimit,
      request.retryLimit,
      request.channels,
      this.#consumer,
    ]
    const rows = await this.#connection.query<Columns>({ ...this.#query, values }, 'read the outbox')
    return resultOf(rows, request)
  }
}

interface Meta {
  readonly snapshot: string
  readonly now: number
  readonly inRecovery: boolean
  readonly server: string
  readonly rewinds: Readonly<Record<string, string>> | null
  readonly orphans: readonly (readonly [number, string, string])[] | null
}

function resultOf(answer: readonly Columns[], request: ReadRequest): ReadResult {
  const rows: Record<RowOrigin, OutboxRow[]> = { late: [], upper: [], retry: [] }
  let meta: Meta | undefined
  for (const columns of answer) {
    switch (Number(columns[0])) {
      case origins.meta:
        meta = JSON.parse(columns[12]!) as Meta
        break
      case origins.late:
        rows.late.push(rowOf(columns, 'late'))
        break
      case origins.upper:
        rows.upper.push(rowOf(columns, 'upper'))
        break
      case origins.retry:
        rows.retry.push(rowOf(columns, 'retry'))
        break
    }
  }
  const { snapshot, now, inRecovery, server, rewinds, orphans } = meta!
  const [, xmax, open] = snapshot.split(':') as [string, string, string]
  return {
    snapshot: { xmax: BigInt(xmax), open: open === '' ? [] : open.split(',').map(BigInt) },
    server,
    serverTimeMs: now,
    inRecovery,
    rewinds: new Map(
      request.partitions.map(({ partition }) => [partition, BigInt(rewinds?.[partition] ?? 0)]),
    ),
    // Sorted here: SQL promises no order without a sort of its own, which would carry every payload through it.
    rows: [...rows.late.sort(byPlace), ...rows.upper.sort(byPlace), ...rows.retry],
    orphans: (orphans ?? []).map(([partition, seq, id]): RowRef => ({ partition, seq: BigInt(seq), id })),
  }
}

function byPlace(a: OutboxRow, b: OutboxRow): number {
  if (a.partition !== b.partition) return a.partition - b.partition
  return a.seq < b.seq ? -1 : 1
}

function rowOf(columns: Columns, origin: RowOrigin): OutboxRow {
  return {
    origin,
    partition: Number(columns[1]),
    seq: BigInt(columns[2]!),
    id: columns[3]!,
    channel: columns[4]!,
    key: columns[5] ?? null,
    payload: Buffer.from(columns[6]!, 'base64'),
    contentType: columns[7] ?? 'application/json',
    headers: headersOf(columns[8] ?? null),
    createdAt: new Date(Number(columns[9])),
    attempts: Number(columns[10] ?? 0),
    isParked: columns[11] === 't',
  }
}

function headersOf(text: string | null): MessageHeaders {
  if (text === null) return noHeaders
  return headersFrom(Object.entries(JSON.parse(text) as Record<string, string>))
}

const noHeaders = headersFrom([])
