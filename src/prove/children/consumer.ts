import { once } from 'node:events'
import { recordHistory } from '../../testing/history.ts'
import { hashOf } from '../hash.ts'
import { openInstance } from '../instance.ts'
import { effectText, markText, outputText } from '../load-tables.ts'
import { noteMemory } from '../memory.ts'
import { readChildSettings } from '../settings.ts'
import { noticeStalls, stallMark } from '../stalls.ts'
import { followConsumer, tracksOf } from '../tracks.ts'
import { report, untilTold } from '../../demo/children/child.ts'

const settings = readChildSettings(process.env)
const stopping = untilTold()
const history = recordHistory(settings.history, settings.name)
const waybill = openInstance(settings, settings.name)
const { loadSchema } = settings
const [effect, output, marked] = [effectText(loadSchema), outputText(loadSchema), markText(loadSchema)]

for (const track of tracksOf(settings)) {
  const { name, guarantee, way, channel, consumer, follow } = track
  const isIdempotent = guarantee === 'effectively-once'
  const options = {
    consumer,
    ...(isIdempotent ? { idempotent: true } : {}),
    ...(way === 'checkpoint' ? { form: way } : {}),
  }
  waybill.consume(channel, options, async ({ id, payload }, { tx, idempotencyKey }) => {
    const { key, seq, amount, mark } = payload
    if (mark !== undefined) {
      await tx.query(marked, [name, key, mark])
      return
    }
    // Each run that begins, whatever comes of it.
    history.note({ type: 'invoke', f: 'handle', key, seq, id })
    const values = [name, id, key, seq, hashOf(payload), isIdempotent ? idempotencyKey : null, amount]
    await tx.query(effect, values)
    if (follow !== null) await waybill.publish(tx, follow, { key, of: id })
  })
  if (follow === null) continue
  waybill.consume(follow, { consumer: followConsumer(track) }, async ({ id, payload }, { tx }) => {
    await tx.query(output, [name, id, payload.of])
  })
}

await waybill.start()
noteMemory(history)
noticeStalls((value) => {
  history.note({ type: 'info', f: 'fault', key: stallMark, value })
})
report({ isReady: true })
if (!stopping.aborted) await once(stopping, 'abort')
await waybill.stop()
process.exit()
