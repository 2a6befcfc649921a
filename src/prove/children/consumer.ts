import { once } from 'node:events'
import { recordHistory } from '../../testing/history.ts'
import { openFor } from '../instance.ts'
import { noteMemory } from '../memory.ts'
import { registerOwnHandlers } from '../own-handlers.ts'
import { leftLine } from '../service/left-copies.ts'
import { registerHandlers } from '../service/handlers.ts'
import { Ledger } from '../service/ledger.ts'
import { Service } from '../service/service.ts'
import { readChildSettings } from '../settings.ts'
import { startPatiently } from '../start-patiently.ts'
import { noticeStalls, stallMark } from '../stalls.ts'
import { tracksOf } from '../tracks.ts'
import { report, untilTold } from '../../demo/children/child.ts'

const settings = readChildSettings(process.env)
const stopping = untilTold()
const history = recordHistory(settings.history, settings.name)
const { id, loadSchema } = settings
const service = settings.service === null ? null : await Service.load(settings.service)
const waybill = openFor(settings, service)

if (service === null) registerOwnHandlers({ waybill, tracks: tracksOf(settings), loadSchema, history })
else {
  const onLeft = (sentence: string): void => {
    process.stdout.write(`${leftLine(sentence)}\n`)
  }
  const ledger = new Ledger({ ...settings, pairs: service.settings.pairs, history, onLeft })
  await registerHandlers({ waybill, service, id, ledger })
}

await startPatiently(() => waybill.start())
noteMemory(history)
noticeStalls((value) => {
  history.note({ type: 'info', f: 'fault', key: stallMark, value })
})
report({ isReady: true })
if (!stopping.aborted) await once(stopping, 'abort')
await waybill.stop()
process.exit()
