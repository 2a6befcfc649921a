import type { Waybill } from '../index.ts'
import type { Client, Query } from '../demo/database.ts'
import { lastText } from './load-tables.ts'
import type { ProveSettings } from './settings.ts'
import { keysOf, type Track } from './tracks.ts'

/** A mark may be lost as any message of its guarantee; then another is sent. */
const againMs = 2000

/**
 * Where messages may be lost, and a broker stands between outbox and handler, nothing tells that the last of them has ended. So each key
 * gets a mark: when that was handled, everything before it in its key has been handled too, or has been lost.
 */
export class Marks {
  /** Of all that were sent: they are no messages of the load. */
  readonly ids: Set<string> = new Set()
  readonly #waybill: Waybill<Client>
  readonly #query: Query
  readonly #settings: ProveSettings
  readonly #tracks: readonly Track[]
  #number = 0

  constructor(waybill: Waybill<Client>, query: Query, settings: ProveSettings, tracks: readonly Track[]) {
    this.#waybill = waybill
    this.#query = query
    this.#settings = settings
    this.#tracks =
      settings.brokers === null ? [] : tracks.filter(({ guarantee }) => guarantee === 'at-most-once')
  }

  /** To be asked again and again: whether everything has ended that was written before this was called. */
  begin(): () => Promise<boolean> {
    const first = this.#number + 1
    const keys = this.#tracks.reduce((sum, track) => sum + keysOf(track).length, 0)
    let sentAt = -Infinity
    return async () => {
      if (keys === 0) return true
      if (performance.now() - sentAt > againMs) {
        await this.#send()
        sentAt = performance.now()
      }
      const text = `select count(*)::int as n from ${this.#settings.loadSchema}.marks where number >= $1`
      const [row] = await this.#query(text, [first])
      return Number(row!['n']) >= keys
    }
  }

  async #send(): Promise<void> {
    const mark = ++this.#number
    const { canary } = this.#settings
    await this.#waybill.transaction(async (tx) => {
      for (const track of this.#tracks) {
        // A number is not seen before its message is committed: the mark comes behind it.
        const { rows } = await tx.query(lastText(this.#settings.loadSchema), [track.name])
        for (const { key, last } of rows) {
          const load = { key: String(key), seq: Number(last), amount: 0, canary, mark }
          this.ids.add(await this.#waybill.publish(tx, track.channel, load))
        }
      }
    })
  }
}
