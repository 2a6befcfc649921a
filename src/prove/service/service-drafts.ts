import { randomUUID } from 'node:crypto'
import type { Client } from '../../demo/database.ts'
import type { Channel, Waybill } from '../../index.ts'
import type { Chance } from '../../testing/chance.ts'
import type { Draft } from '../writer.ts'
import { orderText, paceText } from './ledger-tables.ts'
import type { Payloads } from './payloads.ts'
import type { Service } from './service.ts'

export interface ServiceDrafts {
  readonly waybill: Waybill<Client>
  readonly service: Service
  readonly payloads: Payloads
  readonly loadSchema: string
  readonly canary: string
  readonly chance: Chance
}

/** A header of each message that is written: its text must be in no log. */
const canaryHeader = 'prove-canary'

/** So many of a track may always be behind. */
const fewest = 20

/**
 * See `WriterOptions`. No more of any track than its handler gets done in two seconds: what is behind after a fault shows how soon they recover, and not how
 * slow they are.
 */
export async function outrunsHandlers(tx: Client, loadSchema: string): Promise<boolean> {
  const { rows } = await tx.query(paceText(loadSchema))
  return rows.some(({ behind, done }) => Number(behind) > Math.max(fewest, Number(done)))
}

/** Draws messages for the user's channels. */
export function serviceDrafts({ waybill, service, payloads, loadSchema, canary, chance }: ServiceDrafts) {
  const { pairs } = service.settings
  return async (count: number): Promise<readonly Draft[]> => {
    const { channels } = payloads
    const name = channels[Math.floor(chance() * channels.length)]!
    const channel = service.config.routes.get(name)!.channel as Channel
    const tracks = pairs.filter((pair) => pair.channel === name).map((pair) => pair.name)
    const { payload, options, key: orderKey } = await payloads.draw(name, chance)
    return Array.from({ length: count }, (): Draft => {
      const id = randomUUID()
      const key = orderKey ?? id
      return {
        id,
        keys: tracks.map((track) => `${track} ${key}`),
        async place(tx) {
          const headers = { ...options.headers, [canaryHeader]: canary }
          await waybill.publish(tx, channel, payload, { ...options, headers, id })
          const { rows } = await tx.query(orderText(loadSchema), [`${name} ${key}`, name, id, key, tracks])
          return { seq: Number(rows[0]!['seq']) }
        },
      }
    })
  }
}
