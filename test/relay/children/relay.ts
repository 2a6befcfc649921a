import { open, type RelaySettings } from '../scene.ts'

await open(JSON.parse(process.env['RELAY']!) as RelaySettings, true).run()
