import { recordHistory } from '../../testing/history.ts'
import { chanceOf } from '../../testing/chance.ts'
import { openInstance } from '../instance.ts'
import { noteMemory } from '../memory.ts'
import { readChildSettings } from '../settings.ts'
import { noticeStalls, stallMark } from '../stalls.ts'
import { tracksOf } from '../tracks.ts'
import { Writer } from '../writer.ts'
import { report, untilTold } from '../../demo/children/child.ts'

const settings = readChildSettings(process.env)
const closing = untilTold()
const history = recordHistory(settings.history, settings.name)
const writer = new Writer({
  waybill: openInstance(settings, settings.name),
  tracks: tracksOf(settings),
  schema: settings.loadSchema,
  canary: settings.canary,
  chance: chanceOf(settings.seed),
  history,
})

noteMemory(history)
noticeStalls((value) => {
  history.note({ type: 'info', f: 'fault', key: stallMark, value })
})
report({ isReady: true })
await writer.run(settings.perSecond, closing)
process.exit()
