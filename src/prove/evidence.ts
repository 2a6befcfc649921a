import type { HistoryEvent } from '../testing.ts'
import type { Query } from '../demo/database.ts'
import type { ProveSettings } from './settings.ts'
import type { Judged } from './tracks.ts'

export interface Surroundings {
  readonly offset: number
  /** Ids of messages that are none of the load's. */
  readonly marks: ReadonlySet<string>
}

/**
 * Everything that happened on one track: what processes were told and noted, and what the database holds. The database's clock is of
 * another kind than the processes', so `offset` brings its times, in microseconds since 1970, to theirs.
 */
export async function evidenceOf(
  query: Query,
  { schema, loadSchema }: Pick<ProveSettings, 'schema' | 'loadSchema'>,
  { name: track, names }: Pick<Judged, 'name' | 'names'>,
  told: readonly HistoryEvent[],
  { offset, marks }: Surroundings,
): Promise<readonly HistoryEvent[]> {
  const events: HistoryEvent[] = told.filter(({ key }) => key?.startsWith(`${track} `) === true)
  const add = (t: number, event: Omit<HistoryEvent, 'process' | 't'>): void => {
    events.push({ process: 'database', t: t + offset, ...event })
  }
  // Where nobody was told of a commit, its business row says what became of it; the message must agree with that.
  const ended = new Set(
    events.filter(({ f, type }) => f === 'write' && (type === 'ok' || type === 'fail')).map(({ id }) => id),
  )
  const begun = new Map(
    events.filter(({ f, type }) => f === 'write' && type === 'invoke').map((e) => [e.id!, e]),
  )
  const orders = new Map(
    (await query(`select id, seq from ${loadSchema}.orders where track = $1`, [track])).map((row) => [
      String(row['id']),
      Number(row['seq']),
    ]),
  )
  for (const [id, { key, t }] of begun) {
    if (ended.has(id)) continue
    const seq = orders.get(id)
    const found = seq === undefined ? ({ type: 'fail', seq: null } as const) : ({ type: 'ok', seq } as const)
    events.push({ process: 'database', f: 'write', key, id, t, ...found })
  }
  const effects = await query(
    `select id, key, seq, hash, (extract(epoch from at) * 1e6)::float8 as t from ${loadSchema}.effects where track = $1 order by number`,
    [track],
  )
  // The order of the ledger is the order of the effects; no two may change places by a clock that is read before the commit.
  let last = -Infinity
  for (const row of effects) {
    const t = (last = Math.max(last, Number(row['t'])))
    const rest = { id: String(row['id']), key: String(row['key']), seq: Number(row['seq']) }
    add(t, { type: 'ok', f: 'effect', ...rest, hash: String(row['hash']) })
    add(t, { type: 'ok', f: 'handle', ...rest })
  }
  const outputs = await query(`select id, of from ${loadSchema}.outputs where track = $1 order by number`, [
    track,
  ])
  for (const row of outputs)
    add(last, { type: 'ok', f: 'output', key: null, seq: null, id: String(row['id']), of: String(row['of']) })
  const dead = await query(
    `select id, key, (extract(epoch from died_at) * 1e6)::float8 as t from ${schema}.dead
     where channel = $1 and consumer in ('', $2) order by number`,
    [names.channel, names.consumer],
  )
  for (const row of dead.filter((one) => !marks.has(String(one['id']))))
    add(Number(row['t']), {
      type: 'ok',
      f: 'dead',
      id: String(row['id']),
      // A load of the user's has its track before each key.
      key: begun.get(String(row['id']))?.key ?? String(row['key']),
      seq: null,
    })
  return events.sort((a, b) => a.t - b.t)
}

/** Losses of the track that the store has counted. */
export async function countedOf(
  query: Query,
  { schema }: Pick<ProveSettings, 'schema'>,
  { names }: Pick<Judged, 'names'>,
): Promise<number> {
  const [row] = await query(
    `select coalesce(sum(count), 0)::int as n from ${schema}.losses where channel = $1 and consumer in ('', $2)`,
    [names.channel, names.consumer],
  )
  return Number(row!['n'])
}
