import type { Query } from './database.ts'
import type { DemoSchemas } from './schema.ts'

/** How things stand at one moment. */
export interface Statistics {
  /** Committed. */
  readonly orders: number
  readonly shipments: number
  /** Shipments beyond the first of their order. */
  readonly copies: number
  /** Messages that wait in the outbox. */
  readonly depth: number
  /** Age of the oldest of them; 0 where none waits. */
  readonly lagMs: number
}

/** Depth and lag from Waybill's public view, the rest from the shop's tables, in one snapshot. */
export async function readStatistics(query: Query, schemas: DemoSchemas): Promise<Statistics> {
  const [row] = await query(`
    select
      (select coalesce(sum(placed), 0) from ${schemas.shop}.customers) as orders,
      s.shipments, s.copies,
      count(o.id) as depth,
      coalesce(extract(epoch from clock_timestamp() - min(o.created_at)) * 1000, 0) as lag_ms
    from (select count(*) as shipments, count(*) - count(distinct order_id) as copies from ${schemas.shop}.shipments) s
    left join ${schemas.waybill}.outbox o on true
    group by s.shipments, s.copies`)
  const at = (name: string): number => Number(row?.[name])
  return {
    orders: at('orders'),
    shipments: at('shipments'),
    copies: at('copies'),
    depth: at('depth'),
    lagMs: Math.max(0, Math.round(at('lag_ms'))),
  }
}

/**
 * Whether the marks behind every customer's last order have been handled and nothing waits. Messages of a key are handled in
 * order, so what had not been handled by then never will be; an empty outbox alone would not tell of what is in the broker.
 */
export async function isDrained(query: Query, schemas: DemoSchemas): Promise<boolean> {
  const [row] = await query(`
    select not exists (select from ${schemas.shop}.deliveries where not is_closed)
      and not exists (select from ${schemas.waybill}.outbox) as drained`)
  return row?.['drained'] === true
}
