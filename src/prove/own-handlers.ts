import type { Waybill } from '../index.ts'
import type { Client } from '../demo/database.ts'
import type { HistoryRecorder } from '../testing/history.ts'
import { hashOf } from './hash.ts'
import { effectText, markText, outputText } from './load-tables.ts'
import { followConsumer, type Track } from './tracks.ts'

export interface OwnHandlers {
  readonly waybill: Waybill<Client>
  readonly tracks: readonly Track[]
  readonly loadSchema: string
  readonly history: HistoryRecorder
}

/** Registers the handlers of the run's own tracks, each of which keeps a ledger. */
export function registerOwnHandlers({ waybill, tracks, loadSchema, history }: OwnHandlers): void {
  const [effect, output, marked] = [effectText(loadSchema), outputText(loadSchema), markText(loadSchema)]
  for (const track of tracks) {
    const { name, guarantee, way, follow, transformed } = track
    const isIdempotent = guarantee === 'effectively-once'
    const { channel, consumer } = transformed ?? track
    const options = {
      consumer,
      ...(isIdempotent ? { idempotent: true } : {}),
      ...(way === 'checkpoint' ? { form: way } : {}),
    }
    if (transformed !== null)
      waybill.consume(
        track.channel,
        { consumer: track.consumer, transform: [transformed.channel] },
        async ({ id, payload }, { emit }) => {
          await emit(transformed.channel, { ...payload, of: id })
        },
      )
    waybill.consume(channel, options, async (message, { tx, idempotencyKey }) => {
      const { payload } = message
      // What was written is judged, by whatever name it comes.
      const { key, seq, amount, mark, of: id = message.id } = payload
      if (mark !== undefined) {
        await tx.query(marked, [name, key, mark, seq])
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
}
