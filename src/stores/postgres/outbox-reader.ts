import { headersFrom, type MessageHeaders } from '../../kernel/message.ts'
import type { Lane } from '../../ports/lane.ts'
import type {
  Mark,
  NewsRequest,
  OutboxRow,
  ReadRequest,
  ReadResult,
  RowOrigin,
  RowRef,
} from '../../ports/outbox.ts'
import type { Connection } from './connection.ts'
import type { PgQuery } from './driver.ts'
import { newsStatement } from './outbox-news-statement.ts'
import { origins, readStatement } from './outbox-read-statement.ts'
import type { RowBytes } from './row-bytes.ts'
import { tappedRows } from './row-tap.ts'
import { named } from './statement.ts'

/** The one row that stands for all of the answer: see `RowTap`. */
type Answer = readonly [rows: readonly RowBytes[]]

export class OutboxReader {
  readonly #connection: Connection
  readonly #consumer: string
  readonly #query: PgQuery
  readonly #news: PgQuery

  constructor(connection: Connection, schema: string, lane: Lane) {
    this.#connection = connection
    this.#consumer = lane.consumer
    this.#query = {
      ...named('read', readStatement(schema, lane)),
      rowMode: 'array',
      binary: true,
      types: tappedRows,
    }
    this.#news = {
      ...named('news', newsStatement(schema, lane)),
      rowMode: 'array',
      binary: true,
      types: tappedRows,
    }
  }

  async read(request: ReadRequest): Promise<ReadResult> {
    const { partitions, last } = request
    const marks = partitions.map(({ mark }) => mark?.split('/') ?? [null, null])
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
      marks.map(([time]) => time),
      marks.map(([, seq]) => seq),
      Math.floor(request.partitionBytes / Math.max(request.upperLimit, 1)),
      request.partitionBytes,
      request.lookLimit,
      request.withoutRetries?.partitions ?? [],
      request.withoutRetries?.channels ?? [],
    ]
    const [answer] = await this.#connection.query<Answer>({ ...this.#query, values }, 'read the outbox')
    return resultOf(answer![0], request)
  }

  async readNews(request: NewsRequest): Promise<ReadResult | null> {
    const { partitions, last, channels, limit, bytes } = request
    const values = [
      partitions.map((each) => each.partition),
      last.open.map(String),
      last.xmax.toString(),
      channels,
      this.#consumer,
      limit + 1,
      Math.floor(bytes / limit),
    ]
    const [answer] = await this.#connection.query<Answer>({ ...this.#news, values }, 'read the outbox')
    return newsOf(answer![0], request)
  }
}

/** Of a read and of a look for news. */
interface CommonMeta {
  /** now() in microseconds since the epoch: rows of up to then are eligible. */
  readonly micros: string
  readonly snapshot: string
  readonly now: number
  readonly inRecovery: boolean
  readonly hasLines: true | null
  readonly server: string
  readonly rewinds: Readonly<Record<string, string>> | null
}

interface Meta extends CommonMeta {
  readonly nextDueInMs: number | null
  /** The highest number of each partition. */
  readonly tops: Readonly<Record<string, string>> | null
  readonly orphans: readonly (readonly [number, string, string])[] | null
}

/** Where a row stands among the delayed ones of its partition. */
interface Due {
  readonly time: bigint
  readonly row: StoredRow
}

/** Behind every row of its time. */
const lastSeq = 2n ** 63n - 1n

function resultOf(answer: readonly RowBytes[], request: ReadRequest): ReadResult {
  const rows: Record<Exclude<RowOrigin, 'delayed'>, StoredRow[]> = { late: [], upper: [], retry: [] }
  const due: Due[] = []
  /** Where lines hold rows: by partition, the last that was looked at. */
  const lookedTo = new Map<number, bigint>()
  let meta: Meta | undefined
  const usualChannel = request.channels[0] ?? ''
  const rowOf = (columns: RowBytes, origin: RowOrigin): StoredRow =>
    new StoredRow(columns, origin, usualChannel)
  for (const columns of answer) {
    const origin = columns.int()
    const said = columns.text()
    switch (origin) {
      case origins.meta:
        meta = JSON.parse(said!) as Meta
        break
      case origins.late:
        rows.late.push(rowOf(columns, 'late'))
        break
      case origins.retry:
        rows.retry.push(rowOf(columns, 'retry'))
        break
      case origins.delayed:
        due.push({ time: BigInt(said!), row: rowOf(columns, 'delayed') })
        break
      case origins.upper:
      case origins.passed: {
        const row = rowOf(columns, 'upper')
        if (origin === origins.upper) rows.upper.push(row)
        if (said !== null) lookedTo.set(row.partition, row.seq)
        break
      }
    }
  }
  const { micros, orphans, nextDueInMs } = meta!
  const highest = new Map(
    Object.entries(meta!.tops ?? {}).map(([partition, seq]) => [Number(partition), BigInt(seq)]),
  )
  const delayed = brought(due.sort(byTime), ({ row }) => row)
  return {
    ...told(meta!, request),
    tops: new Map([...highest, ...lookedTo]),
    unseen: new Set(
      [...lookedTo].flatMap(([partition, seq]) => (seq < highest.get(partition)! ? [partition] : [])),
    ),
    marks: marksOf(delayed, BigInt(micros), request),
    nextDueInMs,
    // Sorted here: SQL promises no order without a sort of its own, which would carry every payload through it.
    rows: [
      ...brought(rows.late.sort(byPlace), itself),
      ...brought(rows.upper.sort(byPlace), itself),
      ...delayed.map(({ row }) => row),
      ...rows.retry.filter((row) => row.isBrought),
    ],
    orphans: (orphans ?? []).map(([partition, seq, id]): RowRef => ({ partition, seq: BigInt(seq), id })),
  }
}

function newsOf(answer: readonly RowBytes[], request: NewsRequest): ReadResult | null {
  const { partitions, channels, limit } = request
  let meta: CommonMeta | undefined
  const rows: StoredRow[] = []
  const floors = new Map(partitions.map(({ partition, floor }) => [partition, floor]))
  for (const columns of answer) {
    const isMeta = columns.int() === origins.meta
    const said = columns.text()
    if (isMeta) {
      meta = JSON.parse(said!) as CommonMeta
      continue
    }
    const row = new StoredRow(columns, 'upper', channels[0] ?? '')
    if (row.seq <= floors.get(row.partition)!) row.origin = 'late'
    rows.push(row)
  }
  if (meta!.hasLines === true || meta!.inRecovery || rows.length > limit) return null
  if (!rows.every((row) => row.isBrought)) return null
  // What waits for a time before its mark would be passed by, if a clock that was put back let a floor go past it.
  const now = BigInt(meta!.micros)
  if (partitions.some(({ mark }) => mark !== null && BigInt(mark.slice(0, mark.indexOf('/'))) > now))
    return null
  return {
    ...told(meta!, request),
    tops: new Map(),
    unseen: new Set(),
    marks: new Map(partitions.flatMap(({ partition, mark }) => (mark === null ? [] : [[partition, mark]]))),
    nextDueInMs: null,
    rows: rows.sort(byPlace),
    orphans: [],
  }
}

/** Of each partition those before the first that came without its payload: what stands behind that one must not overtake it. */
function brought<Each>(found: Each[], rowOf: (each: Each) => StoredRow): Each[] {
  if (found.every((each) => rowOf(each).isBrought)) return found
  const cut = new Set<number>()
  return found.filter((each) => {
    const { partition, isBrought } = rowOf(each)
    if (!isBrought) cut.add(partition)
    return !cut.has(partition)
  })
}

function itself(row: StoredRow): StoredRow {
  return row
}

type Told = Pick<ReadResult, 'snapshot' | 'server' | 'serverTimeMs' | 'inRecovery' | 'hasLines' | 'rewinds'>

function told(meta: CommonMeta, { partitions }: Pick<ReadRequest, 'partitions'>): Told {
  const { snapshot, now, inRecovery, hasLines, server, rewinds } = meta
  const [, xmax, open] = snapshot.split(':') as [string, string, string]
  return {
    snapshot: { xmax: BigInt(xmax), open: open === '' ? [] : open.split(',').map(BigInt) },
    server,
    serverTimeMs: now,
    inRecovery,
    hasLines: hasLines === true,
    rewinds: new Map(partitions.map(({ partition }) => [partition, BigInt(rewinds?.[partition] ?? 0)])),
  }
}

/** Up to now, or to the last row where a limit may have cut what is due. */
function marksOf(delayed: readonly Due[], now: bigint, request: ReadRequest): ReadonlyMap<number, Mark> {
  const found = new Map<number, { count: number; bytes: number; last: Due }>()
  for (const due of delayed) {
    const { count = 0, bytes = 0 } = found.get(due.row.partition) ?? {}
    found.set(due.row.partition, { count: count + 1, bytes: bytes + due.row.payload.byteLength, last: due })
  }
  return new Map(
    request.partitions.map(({ partition }) => {
      const here = found.get(partition)
      const isCut =
        here !== undefined && (here.count >= request.upperLimit || here.bytes > request.partitionBytes)
      return [partition, isCut ? `${here.last.time}/${here.last.row.seq}` : `${now}/${lastSeq}`]
    }),
  )
}

function byTime(a: Due, b: Due): number {
  if (a.time !== b.time) return a.time < b.time ? -1 : 1
  return a.row.seq < b.row.seq ? -1 : 1
}

function byPlace(a: OutboxRow, b: OutboxRow): number {
  if (a.partition !== b.partition) return a.partition - b.partition
  return a.seq < b.seq ? -1 : 1
}

/** Its times are made when somebody asks for them: most rows come and go without. */
class StoredRow implements OutboxRow {
  origin: RowOrigin
  readonly partition: number
  readonly seq: bigint
  readonly id: string
  readonly channel: string
  readonly key: string | null
  readonly payload: Uint8Array
  readonly contentType: string
  readonly headers: MessageHeaders
  readonly attempts: number
  readonly isParked: boolean
  readonly place: number
  /** Whether its payload is here. */
  readonly isBrought: boolean
  readonly #createdMs: number
  readonly #notBeforeMs: number

  /** `usualChannel`: what no channel stands for. The columns are read in their order. */
  constructor(columns: RowBytes, origin: RowOrigin, usualChannel: string) {
    this.origin = origin
    this.partition = columns.int()
    this.seq = columns.bigint()
    this.id = columns.text()!
    this.channel = columns.text() ?? usualChannel
    this.key = columns.text()
    const payload = columns.payload()
    this.payload = payload ?? noPayload
    this.isBrought = payload !== null
    this.contentType = columns.text() ?? 'application/json'
    this.headers = headersOf(columns.text())
    this.#createdMs = columns.time()!
    this.#notBeforeMs = columns.time() ?? 0
    this.place = columns.place()
    this.attempts = columns.int()
    this.isParked = columns.boolean()
  }

  get createdAt(): Date {
    return new Date(this.#createdMs)
  }

  get dueAt(): Date {
    return new Date(Math.max(this.#createdMs, this.#notBeforeMs))
  }
}

function headersOf(text: string | null): MessageHeaders {
  if (text === null) return noHeaders
  const headers: unknown = JSON.parse(text)
  // Who may insert may insert anything, and a row that cannot be read would end every read of its lane (O4).
  if (typeof headers !== 'object' || headers === null) return noHeaders
  return headersFrom(Object.entries(headers).map(([name, value]) => [name, String(value)]))
}

const noHeaders = headersFrom([])
const noPayload = new Uint8Array()
