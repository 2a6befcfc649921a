import { defineChannel, type Channel } from '../index.ts'

/** An order that was placed; or (`isLast`) the mark behind a customer's last order, once the shop has closed. */
export interface OrderPlaced {
  readonly orderId: string
  readonly customerId: number
  readonly isLast?: true
}

/** `address`: the topic, where it goes through a broker. */
export function orderPlacedChannel(address: string, hasInbox: boolean): Channel<OrderPlaced> {
  return defineChannel<OrderPlaced>({
    name: 'orders.placed',
    guarantee: hasInbox ? 'exactly-once' : 'at-least-once',
    key: (order) => String(order.customerId),
    address,
  })
}
