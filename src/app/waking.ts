import type { Clock } from '../kernel/clock.ts'
import type { Bell, News } from '../ports/bell.ts'
import type { ResolvedConfig } from './config.ts'
import { startListening } from './listening.ts'
import type { Parts } from './relays.ts'
import { Ringer } from './ringer.ts'
import type { Running } from './running.ts'

export interface WakingOptions {
  readonly config: Pick<ResolvedConfig, 'routes' | 'transports' | 'settings' | 'logger'>
  readonly clock: Clock
  /** Of the store, where it is open. */
  readonly bell: () => Bell | null
  /** The parts that run in this process. */
  readonly running: () => Running[]
}

/** Wakes who reads the outbox when there is something new: in this process at once, elsewhere by the bell (PROTOCOLS 8). */
export class Waking {
  readonly #options: WakingOptions
  readonly #ringer: Ringer

  constructor(options: WakingOptions) {
    const { config, clock, bell } = options
    this.#options = options
    const isOn = config.settings.notify === 'on'
    this.#ringer = new Ringer({ bell: isOn ? bell : () => null, clock, logger: config.logger })
  }

  /** A message of this channel was published. */
  published(channel: string, isCommitted: boolean): void {
    const route = this.#options.config.routes.get(channel)
    if (route !== undefined) this.tell({ transport: route.transport, isCommitted })
  }

  tell(news: News): void {
    this.#wakeOwn(news)
    this.#ringer.ring(news)
  }

  /** Something that waited may go on, on whichever transport. */
  tellAll(): void {
    for (const transport of this.#options.config.transports.keys())
      this.tell({ transport, isCommitted: true })
  }

  /** Where this process has relays: what others write is for them. */
  listen(parts: Pick<Parts, 'store' | 'config' | 'clock'>): void {
    const running = this.#options.running()
    const status = running.map((part) => part.status())
    const transports = status.flatMap((part) =>
      part.kind === 'relay' && part.relay !== null ? [part.relay.lane.transport] : [],
    )
    if (parts.config.settings.notify === 'off' || transports.length === 0) return
    startListening(parts, [...new Set(transports)], (news) => this.#wakeOwn(news), running)
  }

  /** Resolves when what was told has been rung. */
  flush(): Promise<void> {
    return this.#ringer.flush()
  }

  #wakeOwn(news: News): void {
    for (const part of this.#options.running()) part.wake(news)
  }
}
