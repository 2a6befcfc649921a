import { open, settings } from './parts.ts'

const waybill = open(settings.relayUrl, true)
await waybill.run()
