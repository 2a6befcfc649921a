/**
 * What writers in any language and people at a prompt use. The key's hash, its lock and the partition are reckoned here as
 * in outbox-writer.ts: the two must agree, or one key would live in two partitions.
 */
export const functions0001 = (s: string): string => `
create function ${s}.new_id() returns uuid language sql volatile as $$
  -- UUIDv7 (RFC 9562): the milliseconds over the first 48 bits of a random UUID, and its version from 4 to 7.
  select encode(set_bit(set_bit(overlay(uuid_send(gen_random_uuid())
    placing substring(int8send((extract(epoch from clock_timestamp()) * 1000)::bigint) from 3) from 1 for 6),
    52, 1), 53, 1), 'hex')::uuid
$$;
create function ${s}.locked_layout(transport text, out first_partition int, out partitions int)
  language plpgsql volatile security definer set search_path = pg_catalog as $$
#variable_conflict use_column
begin
  -- Held to the commit: the change waits for it, and is seen by whoever waited for the change. The share lock is for REPEATABLE
  -- READ, whose snapshot is older: it fails with 40001 on a row that has changed since. Writers may not update the row, so
  -- this runs with the rights of the owner.
  perform pg_advisory_xact_lock_shared(hashtextextended('waybill layout ${s.replaceAll("'", "''")}' || chr(10) || locked_layout.transport, 0));
  select t.first_partition, t.partitions into locked_layout.first_partition, locked_layout.partitions
    from ${s}.transports t where t.transport = locked_layout.transport for share;
end $$;
-- The share lock: a change of the layout that is being written is waited for, and one that comes later finds the new row.
create function ${s}.copy_layout() returns trigger language plpgsql security definer set search_path = pg_catalog as $$
begin
  select t.first_partition, t.partitions, t.is_changing into new.first_partition, new.partitions, new.is_changing
    from ${s}.transports t where t.transport = new.transport for share;
  return new;
end $$;
create trigger copy_layout before insert or update of transport on ${s}.channels
  for each row execute function ${s}.copy_layout();
create function ${s}.tell_layout() returns trigger language plpgsql as $$
begin
  update ${s}.channels c set first_partition = new.first_partition, partitions = new.partitions, is_changing = new.is_changing
    where c.transport = new.transport;
  return null;
end $$;
create trigger tell_layout after update on ${s}.transports for each row execute function ${s}.tell_layout();
create function ${s}.locked_partition(id uuid, channel text, key text, not_before timestamptz) returns int
  language plpgsql volatile as $$
#variable_conflict use_column
declare
  target record;
  layout record;
  hash bigint;
begin
  select c.transport, c.ordered, c.first_partition, c.partitions, c.is_changing, c.key_seed into target
    from ${s}.channels c where c.channel = locked_partition.channel;
  if not found then
    raise exception 'channel "%" is not registered', locked_partition.channel using errcode = 'invalid_parameter_value',
      hint = 'A service that has it in its configuration registers it at its start, or by "waybill migrate".',
      table = 'outbox', column = 'channel';
  end if;
  if target.ordered and locked_partition.key is null then
    raise exception 'channel "%" is ordered: each of its messages needs a key', locked_partition.channel
      using errcode = 'invalid_parameter_value', table = 'outbox', column = 'partition';
  end if;
  if target.ordered and locked_partition.not_before is not null then
    raise exception 'channel "%" is ordered: none of its messages can be delayed', locked_partition.channel
      using errcode = 'invalid_parameter_value', hint = 'Publish it when it is due, or on a channel that is not ordered.',
      table = 'outbox', column = 'id';
  end if;
  if locked_partition.not_before > clock_timestamp() + interval '366 days' then
    raise exception 'a message is delayed by 366 days at most'
      using errcode = 'invalid_parameter_value', table = 'outbox', column = 'payload';
  end if;
  if target.is_changing then
    select * into layout from ${s}.locked_layout(target.transport);
    target.first_partition := layout.first_partition;
    target.partitions := layout.partitions;
  end if;
  if target.ordered then
    hash := hashtextextended(locked_partition.key, target.key_seed);
    perform pg_advisory_xact_lock(hash);
  else
    hash := uuid_hash_extended(locked_partition.id, 0);
  end if;
  return target.first_partition + abs(hash % target.partitions)::int;
end $$;
create function ${s}.append(id uuid, channel text, key text, payload bytea, content_type text, headers jsonb,
  not_before timestamptz default null) returns text language plpgsql volatile as $$
#variable_conflict use_column
declare
  own_xid text;
begin
  -- The same as in outbox-writer.ts, and the same order: xid, partition with the key's lock, seq.
  insert into ${s}.outbox (partition, id, channel, key, payload, content_type, headers, not_before)
    values (coalesce(
      (select c.first_partition + abs(case when c.ordered then hashtextextended(append.key, c.key_seed)
          else uuid_hash_extended(append.id, 0) end % c.partitions)::int
        from ${s}.channels c where c.channel = append.channel and append.not_before is null and not c.is_changing
          and (not c.ordered or pg_advisory_xact_lock(hashtextextended(append.key, c.key_seed)) is not null)),
      ${s}.locked_partition(append.id, append.channel, append.key, append.not_before)),
      append.id, append.channel, append.key, append.payload, append.content_type, append.headers, append.not_before)
    returning pg_current_xact_id()::text into own_xid;
  return own_xid;
end $$;
create function ${s}.publish_bytes(channel text, payload bytea, key text default null, headers jsonb default '{}',
  content_type text default 'application/octet-stream', not_before timestamptz default null) returns uuid language plpgsql volatile as $$
#variable_conflict use_column
declare
  own_id uuid := ${s}.new_id();
  max_bytes int := (select c.max_bytes from ${s}.channels c where c.channel = publish_bytes.channel);
  bytes bigint;
begin
  if publish_bytes.key = '' or octet_length(publish_bytes.key) > 1024 then
    raise exception 'a key has 1 to 1024 bytes; this one has %', octet_length(publish_bytes.key)
      using errcode = 'invalid_parameter_value';
  end if;
  if publish_bytes.payload is null or publish_bytes.content_type is null
    or jsonb_typeof(publish_bytes.headers) is distinct from 'object'
    or exists (select from jsonb_each(publish_bytes.headers) h where jsonb_typeof(h.value) <> 'string') then
    raise exception 'a message needs a payload, a content type, and headers that are an object of texts'
      using errcode = 'invalid_parameter_value';
  end if;
  -- As in outbox/message-headers.ts; nobody else adds trace headers here.
  if exists (select from jsonb_object_keys(publish_bytes.headers) name
    where name !~ '^[A-Za-z0-9_!#$%&''*+.^\`|~-]{1,200}$'
    or name ~* '^(ce[_-].*|waybill-.*|content-type|__proto__|constructor|prototype)$') then
    raise exception 'a header''s name has 1 to 200 letters, digits, hyphens, dots and the like, and is not one that '
      'Waybill or its transports write themselves' using errcode = 'invalid_parameter_value';
  end if;
  bytes := octet_length(publish_bytes.payload) + octet_length(coalesce(publish_bytes.key, ''))
    + octet_length(publish_bytes.headers::text);
  if bytes > max_bytes then
    raise exception 'the message takes % bytes; its transport takes at most %', bytes, max_bytes
      using errcode = 'program_limit_exceeded';
  end if;
  perform ${s}.append(own_id, publish_bytes.channel, publish_bytes.key, publish_bytes.payload,
    publish_bytes.content_type, publish_bytes.headers, publish_bytes.not_before);
  return own_id;
end $$;
create function ${s}.publish(channel text, payload jsonb, key text default null, headers jsonb default '{}',
  not_before timestamptz default null) returns uuid language sql volatile as $$
  select ${s}.publish_bytes(channel, convert_to(payload::text, 'UTF8'), key, headers, 'application/json', not_before)
$$;
create function ${s}.readable(payload bytea) returns jsonb language plpgsql immutable as $$
begin
  return convert_from(payload, 'UTF8')::jsonb;
exception when others then
  begin
    return to_jsonb(convert_from(payload, 'UTF8'));
  exception when others then
    return null;
  end;
end $$;
create view ${s}.messages as
  select o.id, o.channel as type, o.key, ${s}.readable(o.payload) as payload,
    -- Its own line's state, or what holds its key; of several consumers' lines the one that waits for an operator.
    coalesce(
      (select b.state from ${s}.blocked b where b.id = o.id and b.partition = o.partition and b.seq = o.seq
        order by b.state limit 1),
      (select case b.state when 'parked' then 'parked' else 'blocked' end from ${s}.blocked b
        where b.channel = o.channel and b.key = o.key order by 1 desc limit 1),
      case when o.not_before > now() then 'delayed' else 'pending' end) as status,
    o.created_at as "timestamp"
  from ${s}.outbox o
  union all
  select d.id, d.channel, d.key, ${s}.readable(d.payload),
    case d.reason when 'follower' then 'parked' else 'dead' end, d.created_at from ${s}.dead d
  union all
  select t.id, t.channel, t.key, ${s}.readable(t.payload), 'sent', t.created_at from ${s}.sent t;
`
