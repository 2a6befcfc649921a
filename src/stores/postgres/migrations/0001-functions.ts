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
create function ${s}.append(id uuid, channel text, key text, payload bytea, content_type text, headers jsonb,
  not_before timestamptz default null) returns text language plpgsql volatile as $$
#variable_conflict use_column
declare
  -- First the transaction's id, then the key's lock, then the number: so number order is commit order, per key.
  xid xid8 := pg_current_xact_id();
  target record;
  layout record;
  hash bigint;
begin
  select c.channel, c.ordered, t.transport, t.first_partition, t.partitions, t.is_changing into target
    from ${s}.channels c join ${s}.transports t on t.transport = c.transport where c.channel = append.channel;
  if target.is_changing then
    select * into layout from ${s}.locked_layout(target.transport);
    target.first_partition := layout.first_partition;
    target.partitions := layout.partitions;
  end if;
  if target.ordered then
    hash := hashtextextended(append.channel || chr(10) || append.key, 0);
    perform pg_advisory_xact_lock(hash);
  else
    hash := hashtextextended(append.id::text, 0);
  end if;
  -- For want of a channel or, where it is ordered, of a key or for a delay this fails, and with it the transaction; so it does for
  -- a delay that is too long. Not by a check constraint, which each statement would parse anew: a seventh of a publish.
  insert into ${s}.outbox (partition, id, channel, key, payload, content_type, headers, not_before)
    values (case when target.channel is null then 0 else target.first_partition + abs(hash % target.partitions)::int end,
      case when target.ordered and append.not_before is not null then null else append.id end, target.channel,
      append.key, case when append.not_before > clock_timestamp() + interval '366 days' then null else append.payload end,
      append.content_type, append.headers, append.not_before);
  return xid::text;
end $$;
create function ${s}.publish_bytes(channel text, payload bytea, key text default null, headers jsonb default '{}',
  content_type text default 'application/octet-stream', not_before timestamptz default null) returns uuid language plpgsql volatile as $$
#variable_conflict use_column
declare
  target record;
  own_id uuid := ${s}.new_id();
  bytes bigint;
begin
  select c.ordered, c.max_bytes into target from ${s}.channels c where c.channel = publish_bytes.channel;
  if not found then
    raise exception 'channel "%" is not registered', publish_bytes.channel using errcode = 'invalid_parameter_value',
      hint = 'A service that has it in its configuration registers it at its start, or by "waybill migrate".';
  end if;
  if target.ordered and publish_bytes.key is null then
    raise exception 'channel "%" is ordered: each of its messages needs a key', publish_bytes.channel
      using errcode = 'invalid_parameter_value';
  end if;
  if target.ordered and publish_bytes.not_before is not null then
    raise exception 'channel "%" is ordered: none of its messages can be delayed', publish_bytes.channel
      using errcode = 'invalid_parameter_value', hint = 'Publish it when it is due, or on a channel that is not ordered.';
  end if;
  if publish_bytes.not_before > clock_timestamp() + interval '366 days' then
    raise exception 'a message is delayed by 366 days at most' using errcode = 'invalid_parameter_value';
  end if;
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
  if bytes > target.max_bytes then
    raise exception 'the message takes % bytes; its transport takes at most %', bytes, target.max_bytes
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
