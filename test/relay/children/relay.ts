import { open } from '../scene.ts'

const hangs = process.env['RELAY_HANGS'] === 'yes'
await open(process.env['RELAY_DATABASE']!, process.env['RELAY_LEDGER']!, { relay: true, hangs }).run()
