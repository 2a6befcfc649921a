import { chanceOf } from '../../testing.ts'
import { openInstance } from '../instance.ts'
import { keepShop } from '../placing.ts'
import { readChildSettings } from '../settings.ts'
import { report, untilTold } from './child.ts'

const settings = readChildSettings(process.env)
const closing = untilTold()
const { waybill, orderPlaced } = openInstance(settings, settings.name)
// The naive way sends over connections of its own, as it would to a broker.
const wire = settings.without === 'outbox' ? openInstance(settings, `${settings.name} (wire)`) : null

const shop = {
  waybill,
  orderPlaced,
  schema: settings.schemas.shop,
  customers: settings.customers,
  chance: chanceOf(settings.seed),
  send:
    wire === null
      ? null
      : (order) => wire.waybill.transaction((tx) => wire.waybill.publish(tx, orderPlaced, order)),
} satisfies Parameters<typeof keepShop>[0]

report({ isReady: true })
await keepShop(shop, settings.ordersPerSecond, closing)
await waybill[Symbol.asyncDispose]()
await wire?.waybill[Symbol.asyncDispose]()
process.exit()
