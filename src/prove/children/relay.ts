import { once } from 'node:events'
import { recordHistory } from '../../testing/history.ts'
import { openFor } from '../instance.ts'
import { noteMemory } from '../memory.ts'
import { Service } from '../service/service.ts'
import { readChildSettings } from '../settings.ts'
import { startPatiently } from '../start-patiently.ts'
import { noticeStalls, stallMark } from '../stalls.ts'
import { report, untilTold } from '../../demo/children/child.ts'

const settings = readChildSettings(process.env)
const stopping = untilTold()
const history = recordHistory(settings.history, settings.name)
const service = settings.service === null ? null : await Service.load(settings.service)
const waybill = openFor(settings, service, { relay: true })

await startPatiently(() => waybill.start())
noteMemory(history)
noticeStalls((value) => {
  history.note({ type: 'info', f: 'fault', key: stallMark, value })
})
report({ isReady: true })
if (!stopping.aborted) await once(stopping, 'abort')
await waybill.stop()
process.exit()
