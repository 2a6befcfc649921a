import { randomUUID } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'
import type { Channel, Waybill } from '../index.ts'
import type { Chance } from '../testing.ts'
import type { Client } from './database.ts'
import type { OrderPlaced } from './messages.ts'
import { placeOrder, recordAttempt } from './schema.ts'

/** `kept`: committed · `refused`: an error after everything was written · `changed`: undone to a savepoint, another is kept. */
export type Ending = 'kept' | 'refused' | 'changed'

export interface Shop {
  readonly waybill: Waybill<Client>
  readonly orderPlaced: Channel<OrderPlaced>
  /** Schema of the shop's tables. */
  readonly schema: string
  readonly customers: number
  readonly chance: Chance
  /** `null`: through the outbox. Else the naive way: sends a message on its own, outside the order's transaction. */
  readonly send: ((order: OrderPlaced) => Promise<unknown>) | null
}

/** About 15 % roll back. */
function endingOf(chance: Chance): Ending {
  const drawn = chance()
  return drawn < 0.1 ? 'refused' : drawn < 0.15 ? 'changed' : 'kept'
}

/** One customer's visit: an order, or one that comes to nothing. */
async function visit(shop: Shop): Promise<void> {
  const { waybill, chance, schema } = shop
  const customerId = 1 + Math.floor(chance() * shop.customers)
  const ending = endingOf(chance)
  const orders = Array.from({ length: ending === 'changed' ? 2 : 1 }, () => ({
    orderId: randomUUID(),
    customerId,
  }))
  // In a transaction of its own and first, so that it is known afterwards what was tried, whatever becomes of it.
  await waybill.transaction((tx) =>
    tx.query(recordAttempt(schema), [orders.map((o) => o.orderId), customerId]),
  )
  const isEarly = chance() < 0.5
  try {
    await waybill.transaction(async (tx) => {
      for (const [i, order] of orders.entries()) {
        const isUndone = i < orders.length - 1
        if (isUndone) await tx.query('savepoint changed_mind')
        await tx.query(placeOrder(schema), [order.orderId, customerId])
        if (shop.send === null) await waybill.publish(tx, shop.orderPlaced, order)
        // The first of two dual writes: the message is out, and the order may still roll back.
        else if (isEarly) await shop.send(order)
        if (isUndone) await tx.query('rollback to savepoint changed_mind')
      }
      if (ending === 'refused') throw new CardRefused()
    })
  } catch (error) {
    if (error instanceof CardRefused) return
    throw error
  }
  if (shop.send === null || isEarly) return
  // The second: the order is committed, and its message is not out yet while the service does what comes between (it
  // answers the customer, say). Killed here, it has lost the message: the rest is as long as most of the sixteen tills are
  // in it at any moment, so that hardly a kill finds none of them there.
  await pause(100)
  await shop.send(orders.at(-1)!)
}

class CardRefused extends Error {}

/** Lets customers in at an even rate, a few at a time, until told to close; resolves when the last has left. */
export async function keepShop(shop: Shop, ordersPerSecond: number, closing: AbortSignal): Promise<void> {
  const opened = performance.now()
  let visits = 0
  const till = async (): Promise<void> => {
    while (!closing.aborted) {
      const due = opened + (visits++ * 1000) / ordersPerSecond
      await pause(Math.max(0, due - performance.now()), undefined, { signal: closing }).catch(() => {})
      if (!closing.aborted) await visit(shop)
    }
  }
  await Promise.all(Array.from({ length: 16 }, till))
}
