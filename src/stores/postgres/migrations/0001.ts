import { functions0001 } from './0001-functions.ts'
import type { Migration } from './migration.ts'

/**
 * The first schema. `xid` stands before `seq` in the outbox, so that any INSERT has its transaction id before its number: the
 * reading protocol rests on that order. Rows of the outbox are inserted once and deleted once, never updated; what goes wrong
 * lives beside them.
 */
export const migration0001: Migration = {
  version: 1,
  oldestCode: 1,
  sql: (s) => `
-- One row: names this outbox to brokers, so that two services on one broker do not fence each other.
create table ${s}.identity (
  id uuid primary key default gen_random_uuid()
);
insert into ${s}.identity default values;
create table ${s}.transports (
  transport text primary key,
  first_partition int not null unique,
  partitions int not null check (partitions > 0),
  -- While it is set writers read this row by locked_layout, so that none of them misses the change.
  is_changing boolean not null default false,
  -- The run of the command that set it last: only that one knows whom it has waited for.
  changer uuid
);
-- The numbers of partitions a lane has had, which are never used again; more than one of them is in use after a change.
create table ${s}.layouts (
  transport text not null references ${s}.transports,
  consumer text not null default '',
  generation int not null,
  first_partition int not null,
  partitions int not null,
  state text not null check (state in ('current', 'draining', 'lingering', 'retired')),
  primary key (transport, consumer, generation)
);
create table ${s}.channels (
  channel text primary key,
  transport text not null references ${s}.transports,
  address text not null,
  ordered boolean not null,
  max_bytes int not null,
  -- Whether its messages may be kept after they were sent: not where they are sent at most once.
  retained boolean not null default true,
  -- What a publish needs of the transport, so that it reads one row: kept equal by triggers.
  first_partition int not null,
  partitions int not null,
  is_changing boolean not null,
  -- Where the hashes of its keys start, so that a publish hashes the key alone.
  key_seed bigint not null generated always as (hashtextextended(channel, 0)) stored
);
create table ${s}.subscriptions (
  consumer text not null,
  channel text not null,
  primary key (consumer, channel)
);
create index on ${s}.subscriptions (channel);
create table ${s}.outbox (
  xid xid8 not null default pg_current_xact_id(),
  partition int not null,
  seq bigint not null generated always as identity (cache 1 no cycle),
  id uuid not null,
  channel text not null,
  key text,
  payload bytea not null,
  content_type text not null default 'application/json',
  headers jsonb not null default '{}',
  created_at timestamptz not null default clock_timestamp(),
  not_before timestamptz,
  primary key (partition, seq)
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
  autovacuum_vacuum_insert_threshold = 100000, autovacuum_vacuum_cost_delay = 0,
  autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 50000);
create index outbox_xid on ${s}.outbox (xid);
create index outbox_delayed on ${s}.outbox (partition, not_before, seq) where not_before is not null;
create table ${s}.blocked (
  consumer text not null default '',
  partition int not null,
  seq bigint not null,
  id uuid not null,
  channel text not null,
  key text,
  -- Blocked and parked ones wait for an operator: their retry_at is infinity. A parked one names its head's row, which is in dead.
  state text not null default 'retrying' check (state in ('retrying', 'blocked', 'parked')),
  attempts int not null,
  retry_at timestamptz not null,
  -- One of its attempts ended with an unknown outcome.
  in_doubt boolean not null default false,
  error_code text not null,
  error text not null,
  failed_at timestamptz not null default clock_timestamp(),
  first_error_code text not null,
  first_error text not null,
  first_failed_at timestamptz not null default clock_timestamp()
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500,
  autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 100);
create index blocked_id on ${s}.blocked (id);
-- In this order: where estimates of an empty table make them equal, the planner takes the index that was made last.
create index blocked_parked on ${s}.blocked (consumer, channel, key) where state = 'parked';
create index blocked_due on ${s}.blocked (consumer, partition, retry_at);
alter table ${s}.blocked add primary key (consumer, partition, seq);
create index blocked_key on ${s}.blocked (consumer, channel, key) where key is not null;
create table ${s}.partitions (
  consumer text not null default '',
  partition int not null,
  transport text not null references ${s}.transports,
  owner uuid,
  epoch bigint not null default 0,
  lease_until timestamptz,
  fenced_number bigint not null default 0,
  fenced_lineage text,
  -- Closed ones are not claimed: those of a new layout until the older ones have run dry, and those of an old one after it.
  is_open boolean not null default true,
  primary key (consumer, partition)
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);
create index on ${s}.partitions (transport, consumer);
create table ${s}.rewinds (
  consumer text not null default '',
  partition int not null,
  counter bigint not null default 0,
  primary key (consumer, partition)
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);
create table ${s}.relays (
  id uuid primary key,
  transport text not null,
  consumer text not null default '',
  -- Null behind a pooler, where no lock belongs to a relay: then only its lease says whether it lives.
  lock_key bigint,
  host text not null,
  pid int not null,
  application text not null,
  started_at timestamptz not null default clock_timestamp(),
  lease_until timestamptz not null,
  is_leaving boolean not null default false,
  -- What it told of itself at its last renewal: for people, never for relays.
  report jsonb
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);
create table ${s}.inbox (
  consumer text not null,
  message_id uuid not null,
  -- Of the statement: rows of a batch share it, and share an entry of the index.
  processed_at timestamptz not null default statement_timestamp(),
  primary key (consumer, message_id)
) with (autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 100000,
  autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 100000);
create index inbox_processed on ${s}.inbox (processed_at);
create table ${s}.attempts (
  consumer text not null,
  message_id uuid not null,
  starts int not null,
  counted_at timestamptz not null default clock_timestamp(),
  primary key (consumer, message_id)
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);
create index attempts_counted on ${s}.attempts (counted_at);
create table ${s}.checkpoints (
  consumer text not null,
  stream text not null,
  lineage text not null,
  next_position bigint not null,
  updated_at timestamptz not null default clock_timestamp(),
  primary key (consumer, stream)
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);
create table ${s}.taken (
  batch uuid not null,
  partition int not null,
  channel text not null,
  consumer text not null default '',
  epoch bigint not null,
  ids uuid[] not null,
  taken_at timestamptz not null default clock_timestamp(),
  primary key (batch, partition, channel)
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);
create index on ${s}.taken (consumer, partition);
create table ${s}.losses (
  channel text not null,
  consumer text not null default '',
  cause text not null,
  count bigint not null,
  last_id uuid not null,
  last_code text,
  last_at timestamptz not null default clock_timestamp(),
  primary key (channel, consumer, cause)
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);
create table ${s}.dead (
  number bigint generated always as identity primary key,
  consumer text not null default '',
  id uuid not null,
  channel text not null,
  key text,
  payload bytea not null,
  content_type text not null,
  headers jsonb not null,
  created_at timestamptz not null,
  -- The end of its delay, where its age begins: after a replay too.
  not_before timestamptz,
  -- Not written by Waybill: a replay must judge it as its first delivery did.
  is_foreign boolean not null default false,
  partition int,
  seq bigint,
  attempts int not null,
  reason text not null,
  error_code text not null,
  error text not null,
  died_at timestamptz not null default clock_timestamp(),
  -- Null where nobody counted its attempts one by one.
  first_error_code text,
  first_error text,
  first_failed_at timestamptz,
  -- Since when a process of its consumer is asked to run it again.
  replay_at timestamptz
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
  autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 100000,
  autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 5000);
create index on ${s}.dead (channel, key);
create index on ${s}.dead (id);
create index dead_replays on ${s}.dead (consumer, number) where replay_at is not null;
-- What was sent, where it is kept: a partition for each day (UTC), made ahead and dropped whole; the default one takes what finds none.
create table ${s}.sent (
  sent_at timestamptz not null default statement_timestamp(),
  partition int not null,
  seq bigint not null,
  id uuid not null,
  channel text not null,
  key text,
  payload bytea not null,
  content_type text not null,
  headers jsonb not null,
  created_at timestamptz not null
) partition by range (sent_at);
create index on ${s}.sent (partition, seq, id);
create index on ${s}.sent (channel, key);
create table ${s}.sent_rest partition of ${s}.sent default with (autovacuum_vacuum_scale_factor = 0,
  autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 100000,
  autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 50000);
create index on ${s}.sent_rest (sent_at);
${functions0001(s)}`,
}
