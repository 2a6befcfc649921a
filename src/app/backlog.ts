import type { Clock } from '../kernel/clock.ts'
import { BacklogWatch } from '../outbox/backlog-watch.ts'
import type { Gauge } from '../ports/gauge.ts'
import type { OutboxWriter } from '../ports/outbox-writer.ts'
import type { Store } from '../ports/store.ts'
import type { ResolvedConfig } from './config.ts'

/** The watch over channels with `maxPending`, on the store that is open when it counts. */
export class Backlog extends BacklogWatch {
  readonly #routes: ResolvedConfig['routes']
  readonly #store: () => Store

  constructor(
    { routes, logger }: Pick<ResolvedConfig, 'routes' | 'logger'>,
    clock: Clock,
    store: () => Store,
  ) {
    let gauge: Gauge | undefined
    const open = (): Gauge => (gauge ??= store().openGauge())
    super({
      count: (channel, most) => open().count(channel, most),
      stopped: async () => {
        const used = gauge
        gauge = undefined
        await used?.close()
      },
      clock,
      logger,
    })
    this.#routes = routes
    this.#store = store
  }

  /** Of the store, for what is sent over it: `send()` waits for room, as for anything that may pass. */
  readonly writer: OutboxWriter = {
    append: async (transaction, channel, messages, delay) => {
      this.admit(this.#routes.get(channel)!.channel, messages.length)
      return await this.#store().writer.append(transaction, channel, messages, delay)
    },
  }
}
