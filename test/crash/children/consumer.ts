import { recordHistory } from '../../../src/testing.ts'
import { consumer, open, placed, settings } from './parts.ts'

// Over the local transport the relay is in here.
const waybill = open(settings.brokers === null ? settings.relayUrl : settings.consumerUrl, false)
// Each run that begins, whatever comes of it: one of a rolled-back order would be a ghost even if it left no effect.
const history = recordHistory(settings.handled)
const failed = new Set<string>()
const { guarantee, form } = settings.choice
const isIdempotent = guarantee === 'effectively-once'

// Scenes share a broker, and a group must not wait for the killed members of another scene.
const options = {
  consumer,
  ...(isIdempotent ? { idempotent: true } : {}),
  ...(form === undefined ? {} : { form }),
}
waybill.consume(placed, options, async (message, { tx, idempotencyKey }) => {
  const { orderId, customer, place } = message.payload
  history.note({ type: 'invoke', f: 'handle', key: customer, id: message.id })
  if (settings.failOnce && settings.brokers === null && place === 2 && !failed.has(orderId)) {
    failed.add(orderId)
    throw new Error('the carrier does not answer')
  }
  // No constraint on what is not idempotent: a second effect must show, not fail.
  await tx.query(
    `insert into effects (message_id, order_id, customer, place, idempotency_key) values ($1, $2, $3, $4, $5)
     on conflict (idempotency_key) do nothing`,
    [
      message.id,
      orderId,
      customer,
      place,
      isIdempotent && settings.sabotage !== 'repeats' ? idempotencyKey : null,
    ],
  )
})
await waybill.run()
