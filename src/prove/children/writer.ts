import { describeError } from '../../kernel/errors.ts'
import { recordHistory } from '../../testing/history.ts'
import { chanceOf } from '../../testing/chance.ts'
import { openFor } from '../instance.ts'
import { noteMemory } from '../memory.ts'
import { isFarBehind, ownDrafts } from '../own-drafts.ts'
import { Payloads } from '../service/payloads.ts'
import { Service } from '../service/service.ts'
import { outrunsHandlers, serviceDrafts } from '../service/service-drafts.ts'
import { readChildSettings } from '../settings.ts'
import { noticeStalls, stallMark } from '../stalls.ts'
import { tracksOf } from '../tracks.ts'
import { Writer } from '../writer.ts'
import { report, untilTold } from '../../demo/children/child.ts'

const settings = readChildSettings(process.env)
const closing = untilTold()
const history = recordHistory(settings.history, settings.name)
const chance = chanceOf(settings.seed)
const { service: given, canary, loadSchema } = settings
const service = given === null ? null : await Service.load(given)
const waybill = openFor(settings, service)
const draw =
  service === null
    ? ownDrafts({ waybill, tracks: tracksOf(settings), schema: loadSchema, canary, chance })
    : serviceDrafts({ waybill, service, payloads: await Payloads.of(service), loadSchema, canary, chance })
const outruns = service === null ? isFarBehind : outrunsHandlers
const writer = new Writer({
  waybill,
  draw,
  onRefused: (error) => report({ refused: describeError(error) }),
  isFarBehind: (tx) => outruns(tx, loadSchema),
  chance,
  history,
})

noteMemory(history)
noticeStalls((value) => {
  history.note({ type: 'info', f: 'fault', key: stallMark, value })
})
report({ isReady: true })
await writer.run(settings.perSecond, closing)
process.exit()
