import { mayCommitSetting, ownCommit, quoteName, quoteText } from '../../testing/idempotency-guard.ts'
import { runSetting } from './copies.ts'

export interface LedgerPlace {
  readonly loadSchema: string
  /** Of the copies a handler of the user's works on; `null`: only handlers of the run's own run. */
  readonly copies: string | null
}

/**
 * Beside the tables of every load.
 * - `reruns`: runs of an idempotent handler on a message whose effect is there already. `is_latest`: nothing later of its key had been
 *   handled. Numbered together with effects. What a call changed in the copies stands there by the name of its `run`.
 * - `acted`: tracks whose handler has changed something in the copies.
 */
export function ledgerTexts({ loadSchema: s, copies }: LedgerPlace): readonly string[] {
  return [
    `create table ${s}.reruns (number bigint primary key default nextval(pg_get_serial_sequence('${s}.effects', 'number')),
      track text not null, id uuid not null, key text not null, is_latest boolean not null, run text, at timestamptz not null default clock_timestamp())`,
    `create table ${s}.acted (track text primary key)`,
    ...(copies === null ? [] : [enterText(s, quoteName(copies))]),
    leaveText(s, copies === null ? null : quoteName(copies)),
  ]
}

/** Before a handler: `$1` names its run. Its transaction finds the copies, and the guard looks at what it does. */
function enterText(s: string, c: string): string {
  const first = quoteText(`${c}, `)
  return `
create function ${s}.enter(a_run text) returns void language plpgsql as $enter$
begin
  perform set_config('${mayCommitSetting}', 'no', true), set_config('${runSetting}', a_run, true);
  if not starts_with(current_setting('search_path'), ${first}) then
    perform set_config('search_path', ${first} || current_setting('search_path'), true);
  end if;
  insert into ${c}."waybill gate" default values;
end $enter$`
}

/**
 * Behind a handler, in its transaction: the guard looks at once, so that it can be told which handler it was, and again at the commit;
 * then the effect of each message is noted. What an effect is unique by is given for idempotent handlers alone: of others a second one must
 * show. What a call did is kept where all its messages had come before; else nobody can tell whose it was.
 */
function leaveText(s: string, c: string | null): string {
  const look = `
  if current_setting('${mayCommitSetting}', true) is distinct from 'no' then
    raise exception using errcode = '${ownCommit}', message = 'The handler ended its transaction itself.';
  end if;
  perform set_config('${mayCommitSetting}', 'yes', true);
  set constraints ${c}."waybill guard" immediate;
  set constraints ${c}."waybill guard" deferred;
  insert into ${c}."waybill gate" default values;`
  const forget = `
  elsif a_run is not null then
    delete from ${c}."waybill changes" where run = a_run;
    if found and not exists (select from ${s}.acted where track = a_track) then
      insert into ${s}.acted (track) values (a_track) on conflict do nothing;
    end if;`
  return `
create function ${s}.leave(a_track text, a_ids uuid[], a_uniques text[], a_run text) returns void language plpgsql as $leave$
declare
  again uuid[] := '{}';
  an_id uuid;
begin${c === null ? '' : look}
  for i in 1 .. cardinality(a_ids) loop
    insert into ${s}.effects (track, id, key, seq, hash, idempotency_key)
      select a_track, a_ids[i], coalesce(o.key, a_track || ' ?'), coalesce(o.seq, 0), '', a_uniques[i]
      from (select) one left join ${s}.orders o on o.track = a_track and o.id = a_ids[i]
      on conflict (idempotency_key) do nothing;
    if not found then again := again || a_ids[i]; end if;
  end loop;
  foreach an_id in array again loop
    insert into ${s}.reruns (track, id, key, is_latest, run)
      select a_track, o.id, o.key,
        not exists (select from ${s}.effects e where e.track = o.track and e.key = o.key and e.seq > o.seq),
        case when cardinality(again) = cardinality(a_ids) then a_run end
      from ${s}.orders o where o.track = a_track and o.id = an_id;
  end loop;
  if cardinality(again) = cardinality(a_ids) then
    return;${c === null ? '' : forget}
  end if;
end $leave$`
}

/**
 * `$1` key with its channel, `$2` channel, `$3` id, `$4` key, `$5` tracks. Behind the publish of an ordered channel its key is locked to
 * the commit, so the number is the message's place in its key's commit order. An id that is there already is no new message, and takes
 * no number: that would be missing in its key.
 */
export function orderText(s: string): string {
  return `
with fresh as (
  select where not exists (select from ${s}.orders o where o.id = $3::uuid and o.track = any($5::text[]))),
k as (
  insert into ${s}.keys (key, track, last, balance) select $1::text, $2::text, 1, 0 from fresh
  on conflict (key) do update set last = keys.last + 1 returning last)
insert into ${s}.orders (id, track, key, seq, amount) select $3::uuid, t, t || ' ' || $4::text, k.last, 0 from k, unnest($5::text[]) t
on conflict do nothing returning seq`
}

/** Of each track: how many messages are behind, and how many were handled in the last seconds. */
export function paceText(s: string): string {
  return `
select count(*) filter (where e.at is null)::int as behind,
  count(*) filter (where e.at > clock_timestamp() - interval '2 s')::int as done
from ${s}.orders o left join ${s}.effects e on e.id = o.id and e.track = o.track
where o.at > clock_timestamp() - interval '20 s' group by o.track`
}
