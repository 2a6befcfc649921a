import type { Query } from '../demo/database.ts'
import { keysPerTrack } from './settings.ts'

/** What each account begins with. */
export const startBalance = 1000

/**
 * - `keys.last` is raised in the transaction that publishes, and its row stays locked to the commit: the number is the message's
 *   place in its key's commit order. Money leaves `keys.balance`, and handlers raise `credits.balance`: another row, so that they
 *   do not wait for writers.
 * - `orders` is the business row of each message: where nobody was told of a commit, it says what became of it. It is as old as its
 *   transaction.
 * - `marks`: of each key the last mark that was handled. `credits.last`: up to this number a message of the key has had its effect, or has
 *   been lost: another one has had its effect since, or a mark has been handled that was written behind it.
 * - `effects` has a unique constraint for idempotent handlers alone: elsewhere a second effect must show, not fail.
 */
export async function createLoad(query: Query, s: string, tracks: readonly string[]): Promise<void> {
  await query(`create schema ${s}`)
  await query(`
    create table ${s}.keys (key text primary key, track text not null, last int not null default 0, balance bigint not null)
      with (fillfactor = 50)`)
  await query(`
    create table ${s}.credits (key text primary key, track text not null, balance bigint not null default 0,
      last int not null default 0) with (fillfactor = 50)`)
  await query(`create table ${s}.orders (id uuid not null, track text not null, key text not null, seq int not null,
    amount int not null, at timestamptz not null default transaction_timestamp(), primary key (id, track))`)
  await query(`create index on ${s}.orders (at)`)
  await query(`
    create table ${s}.effects (number bigint generated always as identity primary key, track text not null, id uuid not null,
      key text not null, seq int not null, hash text not null, idempotency_key text unique, at timestamptz not null default clock_timestamp())`)
  await query(`create index on ${s}.effects (id)`)
  await query(`
    create table ${s}.outputs (number bigint generated always as identity primary key, track text not null, id uuid not null,
      of uuid not null)`)
  await query(`create index on ${s}.outputs (of)`)
  await query(`
    create table ${s}.marks (key text primary key, track text not null, number int not null) with (fillfactor = 50)`)
  await query(
    `insert into ${s}.keys (track, key, balance)
     select t, t || ' k' || g, $3::int from unnest($1::text[]) t, generate_series(1, $2::int) g`,
    [tracks, keysPerTrack, startBalance],
  )
  await query(`insert into ${s}.credits (track, key) select track, key from ${s}.keys`)
}

/** Each of them, though one cannot be dropped, which is told when all were tried. */
export async function dropSchemas(query: Query, schemas: readonly string[]): Promise<void> {
  const failed: unknown[] = []
  for (const schema of schemas) {
    await query(`drop schema if exists ${schema} cascade`).catch((error: unknown) => failed.push(error))
  }
  if (failed.length > 0) throw failed[0]
}

/** `$1` order, `$2` key, `$3` amount. Locks the key to the commit; returns the order's number. */
export function placeText(s: string): string {
  return `
with k as (
  update ${s}.keys set last = last + 1, balance = balance - $3::int where key = $2 returning track, key, last)
insert into ${s}.orders (id, track, key, seq, amount) select $1, track, key, last, $3::int from k returning seq`
}

/** `$1` track. */
export function lastText(s: string): string {
  return `select key, last from ${s}.keys where track = $1`
}

/** `$1` track, `$2` id, `$3` key, `$4` number, `$5` hash, `$6` idempotency key or null, `$7` amount. Money moves with the effect. */
export function effectText(s: string): string {
  return `
with done as (
  insert into ${s}.effects (track, id, key, seq, hash, idempotency_key) values ($1, $2, $3, $4, $5, $6)
  on conflict (idempotency_key) do nothing returning key)
update ${s}.credits c set balance = balance + $7::int, last = greatest(last, $4::int) from done where c.key = done.key`
}

/** `$1` track, `$2` id of the output, `$3` of the message it came of. */
export function outputText(s: string): string {
  return `insert into ${s}.outputs (track, id, of) values ($1, $2, $3)`
}

/** `$1` track, `$2` key, `$3` number, `$4` the number of the key's last message behind which it was written. */
export function markText(s: string): string {
  return `
with passed as (update ${s}.credits set last = greatest(last, $4::int) where key = $2)
insert into ${s}.marks (track, key, number) values ($1, $2, $3)
on conflict (key) do update set number = greatest(marks.number, excluded.number)`
}

/** All money of a track in one snapshot: both balances of each key, and what has been sent and has not arrived. */
export function moneyText(s: string): string {
  return `
select (select sum(balance) from ${s}.keys where track = $1)::float8
  + (select sum(balance) from ${s}.credits where track = $1)::float8
  + (select coalesce(sum(o.amount), 0) from ${s}.orders o where o.track = $1
      and not exists (select from ${s}.effects e where e.id = o.id))::float8 as sum`
}

/**
 * Messages of the last minute that are to have an effect and have none, and the age of the oldest. An index on `orders.at` bounds the look.
 * What may be lost is not waited for where something behind it in its key has come, and makes nothing old.
 */
export function behindText(s: string): string {
  return `
select count(*)::int as n,
  coalesce(extract(epoch from clock_timestamp() - min(o.at) filter (where o.track <> 'at-most-once')) * 1000, 0)::int as ms
from ${s}.orders o
where o.at > clock_timestamp() - interval '1 minute' and not exists (select from ${s}.effects e where e.id = o.id)
  and (o.track <> 'at-most-once' or o.seq > (select c.last from ${s}.credits c where c.key = o.key))`
}
