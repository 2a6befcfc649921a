import type pg from 'pg'
import { type BenchOutbox, orders, payload } from './outbox.ts'

/** A table of somebody's business, without rows. */
export async function emptyOrders(pool: pg.Pool): Promise<void> {
  await pool.query(
    `create table if not exists orders(id bigint generated always as identity primary key, customer text not null,
       body text not null)`,
  )
  await pool.query('truncate orders')
  await pool.query('checkpoint')
}

export function insertOrder(customer: string): { name: string; text: string; values: string[] } {
  return {
    name: 'order',
    text: 'insert into orders(customer, body) values ($1, $2)',
    values: [customer, payload.text],
  }
}

/** An order and its message in one transaction, in one round trip. */
export async function placeOrder({ waybill }: BenchOutbox, key: string): Promise<void> {
  await waybill.transaction(async (tx) => {
    void tx.query(insertOrder(key))
    void waybill.publish(tx, orders, payload, { key })
  })
}
