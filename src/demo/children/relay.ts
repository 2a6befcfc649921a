import { once } from 'node:events'
import { openInstance } from '../instance.ts'
import { readChildSettings } from '../settings.ts'
import { report, untilTold } from './child.ts'

const settings = readChildSettings(process.env)
const stopping = untilTold()
const { waybill } = openInstance(settings, settings.name, { relay: true })

await waybill.start()
report({ isReady: true })
if (!stopping.aborted) await once(stopping, 'abort')
await waybill.stop()
process.exit()
