import { open, settings } from './parts.ts'

const waybill = open(settings.producerUrl, true)
await waybill.run()
