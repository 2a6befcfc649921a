/** An identifier as it stands in SQL. */
export function quoteName(name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}

export function quoteText(text: string): string {
  return `'${text.replaceAll("'", "''")}'`
}

/** SQLSTATE of a commit that the guard refused; the detail lists the relations. */
export const touchedOutside = 'WBC01'
/** SQLSTATE of a commit that the handler asked for itself. */
export const ownCommit = 'WBC02'

/** Set in the transaction when the handler has ended and it may commit. */
export const mayCommitSetting = 'waybill_check.may_commit'

/**
 * The server's own guard: a deferred trigger that looks, when a transaction of the check commits, at which relations it has
 * locked, and refuses the commit where one outside the scratch schema was written (every write holds a lock to the end, through
 * triggers and functions too), or where an original of a copied table was so much as read. A commit that the handler sends
 * itself meets it too. `besides`: schemas that it may write as well.
 */
export function guardText(
  schema: string,
  originals: readonly number[],
  besides: readonly string[] = [],
): string {
  const s = quoteName(schema)
  const free = [schema, ...besides, 'pg_catalog', 'information_schema', 'pg_toast'].map(quoteText)
  return `
    create table ${s}."waybill gate" (armed boolean not null default true);
    create function ${s}."waybill guard"() returns trigger language plpgsql as $guard$
      declare outside text;
      begin
        select string_agg(distinct format('%s %I.%I', case when l.mode in ('AccessShareLock', 'RowShareLock')
            then 'read' else 'wrote' end, n.nspname, c.relname), ', ') into outside
          from pg_catalog.pg_locks l join pg_catalog.pg_class c on c.oid = l.relation
            join pg_catalog.pg_namespace n on n.oid = c.relnamespace
          where l.pid = pg_catalog.pg_backend_pid() and l.locktype = 'relation' and c.relpersistence <> 't'
            and c.relkind in ('r', 'p', 'v', 'm', 'f', 'S')
            and n.nspname not in (${free.join(', ')})
            and (l.mode not in ('AccessShareLock', 'RowShareLock') or c.oid = any ('{${originals.join(',')}}'::oid[]));
        if outside is not null then
          raise exception using errcode = '${touchedOutside}', detail = outside,
            message = 'The check undid a transaction that left the copies of the tables.';
        end if;
        if pg_catalog.current_setting('${mayCommitSetting}', true) is distinct from 'yes' then
          raise exception using errcode = '${ownCommit}',
            message = 'The handler ended its transaction itself: leave COMMIT to Waybill.';
        end if;
        return null;
      end $guard$;
    create constraint trigger "waybill guard" after insert on ${s}."waybill gate" deferrable initially deferred
      for each row execute function ${s}."waybill guard"();`
}

/** Queues the guard; what was queued before it runs before it. */
export function armText(schema: string): string {
  return `insert into ${quoteName(schema)}."waybill gate" default values`
}
