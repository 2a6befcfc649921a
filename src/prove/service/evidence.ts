import type { Query } from '../../demo/database.ts'
import type { HistoryEvent } from '../../testing.ts'
import type { ProveSettings } from '../settings.ts'
import type { Judged } from '../tracks.ts'
import { repeatingKind } from '../schedule.ts'
import { changesOf } from './copies.ts'
import { type RepeatedCall, secondEffects } from './repeats.ts'

type Place = Pick<ProveSettings, 'loadSchema' | 'copies'>

export interface Reruns {
  readonly events: readonly HistoryEvent[]
  /** Whether a second effect of the handler would have been seen. */
  readonly wouldShow: boolean
}

/** Calls with messages whose effect was there already, and what of them was a second effect. `offset`: see `evidenceOf`. */
export async function rerunsOf(
  query: Query,
  { loadSchema, copies }: Place,
  { name }: Pick<Judged, 'name'>,
  offset: number,
): Promise<Reruns> {
  const rows = await query(
    `select number::float8 as number, id, key, is_latest, run, (extract(epoch from at) * 1e6)::float8 as t
     from ${loadSchema}.reruns where track = $1 order by number`,
    [name],
  )
  if (rows.length === 0) return { events: [], wouldShow: false }
  const firsts = await query(
    `select number::float8 as number, key from ${loadSchema}.effects where track = $1`,
    [name],
  )
  const changes = copies === null ? null : await changesOf(query, { schema: copies, loadSchema, track: name })
  const byCall = Map.groupBy(rows, ({ run, number }) => String(run ?? number))
  const calls = [...byCall].map(([run, of]): RepeatedCall => ({
    number: Number(of.at(-1)!['number']),
    messages: of.map((row) => ({
      id: String(row['id']),
      key: String(row['key']),
      isLatest: row['is_latest'] === true,
    })),
    changes: of[0]!['run'] === null || changes === null ? null : (changes.get(run) ?? []),
  }))
  const { second, judged } = secondEffects(
    calls,
    firsts.map((row) => ({ number: Number(row['number']), key: String(row['key']) })),
  )
  const found = new Set([...second].map(({ number }) => number))
  const events = rows.flatMap((row): readonly HistoryEvent[] => {
    const event = {
      process: 'database',
      type: 'ok',
      id: String(row['id']),
      key: String(row['key']),
      seq: null,
      t: Number(row['t']) + offset,
    } as const
    const isSecond = found.has(Number(row['number']))
    return [{ ...event, f: 'handle' }, ...(isSecond ? [{ ...event, f: 'effect' } as const] : [])]
  })
  return { events, wouldShow: judged > 0 }
}

/** Why a track may show nothing, although all went well. */
export async function doubtsOf(
  query: Query,
  { schema, loadSchema, copies }: Place & Pick<ProveSettings, 'schema'>,
  { name, guarantee, names, pair }: Judged,
  { wouldShow }: Pick<Reruns, 'wouldShow'>,
): Promise<readonly string[]> {
  const [row] = await query(
    `select exists (select from ${loadSchema}.effects where track = $1) as "hasEffects",
       exists (select from ${loadSchema}.acted where track = $1) as "hasActed",
       (select count(*) from ${schema}.blocked where channel = $2 and consumer = $3)::int as failing,
       (select error_code from ${schema}.blocked where channel = $2 and consumer = $3 order by failed_at desc limit 1) as code`,
    [name, names.channel, names.consumer],
  )
  const { consumer, channel } = pair!
  const failing = Number(row!['failing'])
  if (failing > 0)
    return [
      `${consumer} still fails for ${failing} messages of ${channel} (${String(row!['code'])}), which are tried again`,
    ]
  if (row!['hasEffects'] !== true) return [`${consumer} has handled no message of ${channel} to the end`]
  if (guarantee !== 'effectively-once' || copies === null) return []
  if (row!['hasActed'] !== true)
    return [
      `${consumer} changed nothing in the tables that are named (--tables): a second effect would not show`,
    ]
  return wouldShow
    ? []
    : [
        `${consumer} has handled no message of ${channel} a second time so that a second effect would show: give more --seconds, and ` +
          `"${repeatingKind}" among --faults, which brings messages again; waybill check-idempotency shows it without a proof`,
      ]
}
