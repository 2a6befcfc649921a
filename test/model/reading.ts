import type { OutboxRow, ReadRequest, ReadResult, RowOrigin, RowRef } from '../../src/ports/outbox.ts'
import type { Database } from './database.ts'
import { lockOf, nameOf, type StoredRow } from './tables.ts'

const nothing = new Uint8Array()
const longAgo = new Date(0)

/** `Outbox.read` as its contract says, evaluated at this moment. */
export function read(database: Database, request: ReadRequest, now: number): ReadResult {
  const { tables, server, inRecovery } = database
  const snapshot = database.snapshot()
  if (inRecovery)
    return { snapshot, server, serverTimeMs: now, inRecovery, rewinds: new Map(), rows: [], orphans: [] }
  const heldKeys = new Set<string>()
  const heldRows = new Set<string>()
  for (const line of tables.lines.values()) {
    heldRows.add(nameOf(line))
    if (line.key !== null) heldKeys.add(lockOf(line.channel, line.key))
  }
  const { last, channels } = request
  const eligible = [...tables.rows.values()]
    .filter((row) => channels.includes(row.channel) && !heldRows.has(nameOf(row)))
    .filter((row) => row.key === null || !heldKeys.has(lockOf(row.channel, row.key)))
    .sort(bySeq)
  const isSince = (row: StoredRow): boolean =>
    last !== null && (last.open.includes(row.xid) || (row.xid >= last.xmax && row.xid < snapshot.xmax))

  const rows: OutboxRow[] = []
  for (const { partition, floor } of request.partitions) {
    const here = eligible.filter((row) => row.partition === partition)
    const late = here.filter((row) => row.seq <= floor && isSince(row)).slice(0, request.lateLimit)
    const upper = here.filter((row) => row.seq > floor).slice(0, request.upperLimit)
    rows.push(...late.map((row) => found(row, 'late', 0)), ...upper.map((row) => found(row, 'upper', 0)))
  }
  const asked = new Set(request.partitions.map(({ partition }) => partition))
  const due = [...tables.lines.values()]
    .filter((line) => asked.has(line.partition) && channels.includes(line.channel) && line.retryAt <= now)
    .sort((a, b) => a.retryAt - b.retryAt || bySeq(a, b))
  const orphans: RowRef[] = []
  let retries = 0
  for (const line of due) {
    const row = tables.rows.get(nameOf(line))
    if (row === undefined) orphans.push({ partition: line.partition, seq: line.seq, id: line.id })
    else if ((retries += 1) <= request.retryLimit) rows.push(found(row, 'retry', line.attempts))
  }
  const rewinds = new Map(
    request.partitions.map(({ partition }) => [partition, tables.rewinds.get(partition) ?? 0n]),
  )
  return { snapshot, server, serverTimeMs: now, inRecovery, rewinds, rows, orphans }
}

function bySeq(a: RowRef, b: RowRef): number {
  return a.seq < b.seq ? -1 : 1
}

function found(row: StoredRow, origin: RowOrigin, attempts: number): OutboxRow {
  const { partition, seq, id, channel, key } = row
  const envelope = { payload: nothing, contentType: '', headers: {}, createdAt: longAgo }
  return { ...envelope, partition, seq, id, channel, key, origin, attempts, isParked: false }
}
