import type {
  Mark,
  NewsRequest,
  OutboxRow,
  ReadRequest,
  ReadResult,
  RowOrigin,
  RowRef,
} from '../../src/ports/outbox.ts'
import type { Database } from './database.ts'
import { dueAt, lockOf, nameOf, type StoredLine, type StoredRow } from './tables.ts'

const nothing = new Uint8Array()

/** `Outbox.read` as its contract says, evaluated at this moment. */
export function read(database: Database, request: ReadRequest, now: number): ReadResult {
  const { tables, server, inRecovery, flaws } = database
  const snapshot = database.snapshot()
  const meta = {
    snapshot,
    server,
    serverTimeMs: now + database.skew,
    inRecovery,
    hasLines: tables.lines.size > 0,
  }
  const time = now + (flaws.readsByForeignClock === true ? 0 : database.skew)
  database.latest = Math.max(database.latest, now + database.skew)
  const nothingFound = {
    rewinds: new Map(),
    tops: new Map(),
    unseen: new Set<number>(),
    marks: new Map(),
    rows: [],
    orphans: [],
  }
  if (inRecovery) return { ...meta, ...nothingFound, nextDueInMs: null }
  const heldKeys = new Set<string>()
  const heldRows = new Set<string>()
  const parkedKeys = new Set<string>()
  for (const line of tables.lines.values()) {
    heldRows.add(nameOf(line))
    if (line.key !== null) heldKeys.add(lockOf(line.channel, line.key))
    if (line.key !== null && line.state === 'parked') parkedKeys.add(lockOf(line.channel, line.key))
  }
  const isParked = ({ channel, key }: StoredRow): boolean =>
    key !== null && parkedKeys.has(lockOf(channel, key))
  const isHeld = (row: StoredRow): boolean =>
    heldRows.has(nameOf(row)) || (row.key !== null && heldKeys.has(lockOf(row.channel, row.key)))
  const { last, channels } = request
  const eligible = [...tables.rows.values()]
    .filter((row) => row.notBefore === null || row.notBefore <= time)
    .filter((row) => channels.includes(row.channel) && (isParked(row) || !isHeld(row)))
    .sort(bySeq)
  const isSince = (row: StoredRow): boolean =>
    last !== null && (last.open.includes(row.xid) || (row.xid >= last.xmax && row.xid < snapshot.xmax))

  const rows: OutboxRow[] = []
  const delayed: OutboxRow[] = []
  const tops = new Map<number, bigint>()
  const unseen = new Set<number>()
  const marks = new Map<number, Mark>()
  let next = Infinity
  for (const { partition, floor, mark } of request.partitions) {
    const here = eligible.filter((row) => row.partition === partition)
    const late = here.filter((row) => row.seq <= floor && isSince(row)).slice(0, request.lateLimit)
    const above = [...tables.rows.values()]
      .filter((row) => row.partition === partition && row.seq > floor)
      .sort(bySeq)
    const top = above[tables.lines.size > 0 ? request.lookLimit - 1 : above.length]?.seq
    if (top !== undefined && top < above.at(-1)!.seq) unseen.add(partition)
    const upper = here
      .filter((row) => row.seq > floor && (top === undefined || row.seq <= top))
      .slice(0, request.upperLimit)
    if (above.length > 0) tops.set(partition, top ?? above.at(-1)!.seq)
    rows.push(
      ...late.map((row) => found(row, 'late', 0, isParked(row))),
      ...upper.map((row) => found(row, 'upper', 0, isParked(row))),
    )
    const due = here.filter((row) => row.seq <= floor && isPast(row, mark)).sort(byTime)
    const last = due[request.upperLimit - 1]
    delayed.push(...due.slice(0, request.upperLimit).map((row) => found(row, 'delayed', 0, isParked(row))))
    marks.set(partition, last === undefined ? `${time}/${2n ** 63n}` : `${last.notBefore}/${last.seq}`)
    for (const row of tables.rows.values()) {
      if (row.partition !== partition) continue
      if (row.notBefore !== null && row.notBefore > time) next = Math.min(next, row.notBefore)
    }
  }
  rows.push(...delayed)
  const asked = new Set(request.partitions.map(({ partition }) => partition))
  const due = [...tables.lines.values()]
    .filter((line) => asked.has(line.partition) && channels.includes(line.channel) && line.retryAt <= now)
    .filter((line) => !isLeftOut(line, request) && !stands(tables.lines.values(), line))
    .sort((a, b) => a.retryAt - b.retryAt || bySeq(a, b))
  const orphans: RowRef[] = []
  let retries = 0
  for (const line of due) {
    const row = tables.rows.get(nameOf(line))
    if (row === undefined) orphans.push({ partition: line.partition, seq: line.seq, id: line.id })
    else if (row.notBefore !== null && row.notBefore > time) continue
    else if ((retries += 1) <= request.retryLimit) rows.push(found(row, 'retry', line.attempts))
  }
  const rewinds = new Map(
    request.partitions.map(({ partition }) => [partition, tables.rewinds.get(partition) ?? 0n]),
  )
  const nextDueInMs = next === Infinity ? null : next - time
  return { ...meta, rewinds, tops, unseen, marks, nextDueInMs, rows, orphans }
}

/** `Outbox.readNews` as its contract says, evaluated at this moment. */
export function readNews(database: Database, request: NewsRequest, now: number): ReadResult | null {
  const { tables, server, inRecovery, flaws } = database
  if (inRecovery || tables.lines.size > 0) return null
  const { partitions, last, limit, channels } = request
  const snapshot = database.snapshot()
  const time = now + (flaws.readsByForeignClock === true ? 0 : database.skew)
  database.latest = Math.max(database.latest, now + database.skew)
  const floors = new Map(partitions.map(({ partition, floor }) => [partition, floor]))
  const rows = [...tables.rows.values()]
    .filter(({ xid }) => last.open.includes(xid) || (xid >= last.xmax && xid < snapshot.xmax))
    .filter((row) => floors.has(row.partition) && channels.includes(row.channel))
    .filter((row) => row.notBefore === null || row.notBefore <= time)
    .sort((a, b) => a.partition - b.partition || bySeq(a, b))
  const isBefore = partitions.some(({ mark }) => mark !== null && Number(mark.split('/')[0]) > time)
  if (rows.length > limit || (isBefore && flaws.trustsMarks !== true)) return null
  return {
    snapshot,
    server,
    serverTimeMs: now + database.skew,
    inRecovery,
    hasLines: false,
    rewinds: new Map(partitions.map(({ partition }) => [partition, tables.rewinds.get(partition) ?? 0n])),
    tops: new Map(),
    unseen: new Set(),
    marks: new Map(partitions.flatMap(({ partition, mark }) => (mark === null ? [] : [[partition, mark]]))),
    nextDueInMs: null,
    rows: rows.map((row) => found(row, row.seq <= floors.get(row.partition)! ? 'late' : 'upper', 0)),
    orphans: [],
  }
}

/** See `ReadRequest.withoutRetries`. */
function isLeftOut({ partition, channel }: StoredLine, { withoutRetries: out }: ReadRequest): boolean {
  return out !== undefined && out.partitions.includes(partition) && out.channels.includes(channel)
}

/** Whether it stands behind another line of its key. */
function stands(lines: Iterable<StoredLine>, { channel, key, seq }: StoredLine): boolean {
  for (const other of lines)
    if (key !== null && other.channel === channel && other.key === key && other.seq < seq) return true
  return false
}

function isPast({ notBefore, seq }: StoredRow, mark: Mark | null): boolean {
  if (notBefore === null || mark === null) return false
  const [time, last] = mark.split('/') as [string, string]
  return notBefore > Number(time) || (notBefore === Number(time) && seq > BigInt(last))
}

function byTime(a: StoredRow, b: StoredRow): number {
  return a.notBefore! - b.notBefore! || bySeq(a, b)
}

function bySeq(a: RowRef, b: RowRef): number {
  return a.seq < b.seq ? -1 : 1
}

function found(row: StoredRow, origin: RowOrigin, attempts: number, isParked = false): OutboxRow {
  const { partition, seq, id, channel, key } = row
  const envelope = { payload: nothing, contentType: '', headers: {}, createdAt: new Date(row.createdAt) }
  return {
    ...envelope,
    dueAt: new Date(dueAt(row)),
    partition,
    seq,
    id,
    channel,
    key,
    origin,
    attempts,
    isParked,
  }
}
