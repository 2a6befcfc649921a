import { type Channel, defineChannel, type Guarantee } from '../../../src/index.ts'

/**
 * What is chosen for the scene's channel. `publishing`: exactly-once through the broker's transactions, or idempotent because
 * its consumer has an inbox · `form`: how that consumer keeps a message from having its effect twice.
 */
export interface SceneChoice {
  readonly guarantee: Guarantee
  readonly publishing?: 'fenced' | 'idempotent'
  readonly form?: 'inbox' | 'checkpoint'
}

export interface Placed {
  readonly orderId: string
  readonly customer: string
  /** The order's place among the customer's, taken under the customer's row lock. */
  readonly place: number
}

export function channelOf({
  choice,
  topic,
}: {
  readonly choice: SceneChoice
  readonly topic: string
}): Channel<Placed> {
  const { guarantee, publishing, form = 'inbox' } = choice
  return defineChannel<Placed>({
    name: 'orders.placed',
    guarantee,
    address: topic,
    key: (order) => order.customer,
    ...(publishing === 'idempotent' ? { consumers: { shipping: form } } : {}),
  })
}
