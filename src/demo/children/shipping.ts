import { once } from 'node:events'
import { setTimeout as pause } from 'node:timers/promises'
import type { Client } from '../database.ts'
import { openInstance } from '../instance.ts'
import type { OrderPlaced } from '../messages.ts'
import { closeDelivery, shipOrder } from '../schema.ts'
import { readChildSettings } from '../settings.ts'
import { report, untilTold } from './child.ts'

const settings = readChildSettings(process.env)
const stopping = untilTold()
const { waybill, orderPlaced } = openInstance(settings, settings.name)
const own = settings.without === 'inbox' ? openInstance(settings, `${settings.name} (own)`) : null
const { shop } = settings.schemas

async function ship(tx: Client, { orderId, customerId, isLast }: OrderPlaced): Promise<void> {
  if (isLast === true) await tx.query(closeDelivery(shop), [customerId])
  else await tx.query(shipOrder(shop), [orderId, customerId, settings.name])
}

waybill.consume(orderPlaced, { consumer: settings.consumer }, async ({ payload }, { tx }) => {
  if (own === null) return await ship(tx, payload)
  // The naive way: its own transaction commits the shipment, and a second one, after this handler, settles the message. What
  // comes between (the customer gets a mail, say) is the time in which a kill makes a second shipment.
  await own.waybill.transaction((tx) => ship(tx, payload))
  await pause(20)
})

await waybill.start()
report({ isReady: true })

let told = 0
const watch = setInterval(() => {
  const consumers = waybill.status().parts.filter((part) => part.kind === 'consumer')
  const suppressed = consumers.reduce((sum, part) => sum + part.counters.duplicates, 0)
  if (suppressed > told) report({ duplicatesSuppressed: suppressed - told })
  told = suppressed
}, 20)

if (!stopping.aborted) await once(stopping, 'abort')
clearInterval(watch)
await waybill.stop()
await own?.waybill[Symbol.asyncDispose]()
process.exit()
