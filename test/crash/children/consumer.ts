import { open, placed, settings } from './parts.ts'

const waybill = open(settings.consumerUrl, false)
const failed = new Set<string>()

// Scenes share a broker, and a group must not wait for the killed members of another scene.
waybill.consume(placed, { consumer: `shipping-${settings.topic}` }, async (message, { tx }) => {
  const { orderId, customer, place } = message.payload
  if (settings.failOnce && place === 2 && !failed.has(orderId)) {
    failed.add(orderId)
    throw new Error('the carrier does not answer')
  }
  // No unique constraint: a second effect must show, not fail.
  await tx.query('insert into effects (message_id, order_id, customer, place) values ($1, $2, $3, $4)', [
    message.id,
    orderId,
    customer,
    place,
  ])
})
await waybill.run()
