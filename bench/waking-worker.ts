import pg from 'pg'
import { openOutbox } from './relay/outbox.ts'

const [url, notify] = process.argv.slice(2) as [string, 'on' | 'off']
const pool = new pg.Pool({ connectionString: url, max: 2, pipeline: true })
const outbox = await openOutbox({ pool }, { settings: { notify } })
await outbox.waybill.start()
process.send?.('ready')
