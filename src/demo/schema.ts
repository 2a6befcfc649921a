import type { Query } from './database.ts'

/** The schemas one run of the demo works in; made for it, dropped after it. */
export interface DemoSchemas {
  /** Waybill's own tables. */
  readonly waybill: string
  /** The shop's and the shipping department's. */
  readonly shop: string
}

export function schemasOf(run: string): DemoSchemas {
  return { waybill: `waybill_demo_${run}`, shop: `waybill_demo_${run}_shop` }
}

/**
 * - `attempts` is written before the order's transaction begins and in one of its own: what was tried and has no order rolled
 *   back, whoever was killed meanwhile.
 * - `customers.placed` is raised in the order's transaction, and its row stays locked to the commit: `orders.number` is the
 *   customer's commit order.
 * - `deliveries.shipped` is the same for shipments: `shipments.arrival` is the order they were committed in.
 * - `shipments` has no unique constraint on the order: it would hide the duplicates that are looked for.
 */
export async function createShop(query: Query, shop: string, customers: number): Promise<void> {
  await query(`create schema ${shop}`)
  await query(`create table ${shop}.customers (id int primary key, placed int not null default 0)`)
  await query(`
    create table ${shop}.attempts (order_id uuid primary key, customer_id int not null)`)
  await query(`
    create table ${shop}.orders (id uuid primary key, customer_id int not null, number int not null,
      unique (customer_id, number))`)
  await query(`
    create table ${shop}.deliveries (customer_id int primary key, shipped int not null default 0,
      is_closed boolean not null default false)`)
  await query(`
    create table ${shop}.shipments (id bigint generated always as identity primary key, order_id uuid not null,
      customer_id int not null, arrival int not null, shipped_by text not null)`)
  await query(`insert into ${shop}.customers (id) select generate_series(1, $1::int)`, [customers])
  await query(`insert into ${shop}.deliveries (customer_id) select generate_series(1, $1::int)`, [customers])
}

export async function dropSchemas(query: Query, schemas: DemoSchemas): Promise<void> {
  await query(`drop schema if exists ${schemas.shop} cascade`)
  await query(`drop schema if exists ${schemas.waybill} cascade`)
}

/** `$1` orders that will be tried, `$2` their customer. */
export function recordAttempt(shop: string): string {
  return `insert into ${shop}.attempts (order_id, customer_id) select unnest($1::uuid[]), $2`
}

/** Raises the customer's counter and stores the order with it; `$1` order, `$2` customer. Locks the customer to the commit. */
export function placeOrder(shop: string): string {
  return `
    with customer as (update ${shop}.customers set placed = placed + 1 where id = $2 returning placed)
    insert into ${shop}.orders (id, customer_id, number) select $1, $2, placed from customer`
}

/** `$1` order, `$2` customer, `$3` the process. Locks the customer's deliveries to the commit. */
export function shipOrder(shop: string): string {
  return `
    with delivery as (update ${shop}.deliveries set shipped = shipped + 1 where customer_id = $2 returning shipped)
    insert into ${shop}.shipments (order_id, customer_id, arrival, shipped_by) select $1, $2, shipped, $3 from delivery`
}

/** `$1` customer: the mark behind the customer's last order has come through. */
export function closeDelivery(shop: string): string {
  return `update ${shop}.deliveries set is_closed = true where customer_id = $1`
}
