import { systemClock, systemRandom } from '../kernel/clock.ts'
import { diagnostic } from '../kernel/diagnostics.ts'
import { describeError, isWaybillError } from '../kernel/errors.ts'
import { ConfirmOutlet } from '../outbox/confirm-outlet.ts'
import type { SomeChannel } from '../outbox/channel.ts'
import { dispatchOutlet } from '../outbox/dispatch-outlet.ts'
import type { Outlet } from '../outbox/send.ts'
import type { OutboxWriter } from '../ports/outbox-writer.ts'
import type { TransactionRunner } from '../ports/transaction-runner.ts'
import type { Dispatcher, OutboundMessage, Publisher } from '../ports/transport.ts'
import type { ResolvedConfig } from './config.ts'
import type { OpenTransports } from './open-transports.ts'
import type { SendCounters } from './running.ts'
import { storeOutlet } from './store-outlet.ts'

export interface SendsParts {
  readonly config: ResolvedConfig
  readonly transports: OpenTransports
  /** The store's, where a message is sent through it. */
  readonly storing: () => { readonly writer: OutboxWriter; readonly transactions: TransactionRunner }
  /** Throws where a channel's guarantee cannot hold. */
  readonly mustCompile: () => void
  /** Something was written into the outbox for this transport, and committed. */
  readonly onStored: (transport: string) => void
}

const endedEvents = diagnostic('waybill.send.ended')

/** The ways on which `send()` sends: one for each transport and kind of guarantee, opened when first used. */
export class Sends {
  readonly #parts: SendsParts
  readonly #outlets = new Map<string, Outlet>()
  readonly #opened = new Set<Promise<Publisher | Dispatcher>>()
  readonly #underway = new Set<Promise<void>>()
  /** At-most-once messages that did not leave, until their call has looked. */
  readonly #lost = new WeakSet<OutboundMessage>()
  #dispatched = 0
  #confirmed = 0
  #dropped = 0

  constructor(parts: SendsParts) {
    this.#parts = parts
  }

  get counters(): SendCounters {
    return { dispatched: this.#dispatched, confirmed: this.#confirmed, dropped: this.#dropped }
  }

  get isUsed(): boolean {
    return this.#outlets.size > 0
  }

  outletFor(channel: SomeChannel): Outlet {
    const { transport } = this.#parts.config.routes.get(channel.name)!
    const isOnce = channel.guarantee === 'at-most-once'
    const key = `${isOnce ? 'once' : 'confirmed'}\0${transport}`
    let outlet = this.#outlets.get(key)
    if (outlet === undefined) {
      this.#parts.mustCompile()
      outlet = this.#watched(this.#make(transport, isOnce), isOnce)
      this.#outlets.set(key, outlet)
    }
    return outlet
  }

  /** Lets what is under way end, at most so long, and closes what was opened; a later `send()` opens anew. */
  async close(timeoutMs: number): Promise<void> {
    const ended = new AbortController()
    const quiet = Promise.allSettled([...this.#underway]).then(() => ended.abort())
    await Promise.race([quiet, systemClock.sleep(timeoutMs, ended.signal)])
    ended.abort()
    for (const outlet of this.#outlets.values()) outlet.giveUp?.()
    const opened = [...this.#opened]
    this.#opened.clear()
    this.#outlets.clear()
    await Promise.allSettled(opened.map(async (opening) => (await opening).close()))
  }

  #make(transport: string, isOnce: boolean): Outlet {
    const { config, transports } = this.#parts
    const { settings, routes } = config
    const retry = { initialMs: settings.retryInitialMs, maxMs: settings.holdMaxMs }
    const { capabilities } = transports.get(transport)
    if (capabilities.isLocal) return this.#storing(transport, isOnce)
    if (isOnce) {
      return dispatchOutlet({
        open: this.#once(() => transports.dispatcher(transport)),
        timeoutMs: settings.publishTimeoutMs,
        onDropped: (message, { code }) => this.#drop(message, code),
        onDispatched: (count) => {
          this.#dispatched += count
        },
      })
    }
    return new ConfirmOutlet({
      open: this.#once(() => transports.publisher(transport)),
      timeoutMs: settings.publishTimeoutMs,
      retry,
      batchSize: settings.batchSize,
      ordersBatch: capabilities.ordersBatch,
      isOrdered: (name) => routes.get(name)?.channel.ordered === true,
      clock: systemClock,
      random: systemRandom,
    })
  }

  /** Needs the store only when a message is sent, so that asking for the way of a channel connects to nothing. */
  #storing(transport: string, isOnce: boolean): Outlet {
    const { config, storing, onStored } = this.#parts
    const { settings } = config
    return storeOutlet({
      ...storing(),
      idleTimeoutMs: settings.handlerTimeoutMs,
      retry: { initialMs: settings.retryInitialMs, maxMs: settings.holdMaxMs },
      onDropped: isOnce ? (message, code) => this.#drop(message, code) : undefined,
      onStored: (count) => {
        if (isOnce) this.#dispatched += count
        onStored(transport)
      },
      clock: systemClock,
      random: systemRandom,
    })
  }

  /** Opens at the first call; again after one that failed. */
  #once<T extends Publisher | Dispatcher>(open: () => Promise<T>): () => Promise<T> {
    let opening: Promise<T> | undefined
    return () => {
      if (opening === undefined) {
        const current = (opening = open())
        this.#opened.add(current)
        current.catch(() => {
          this.#opened.delete(current)
          opening = undefined
        })
      }
      return opening
    }
  }

  #watched(outlet: Outlet, isOnce: boolean): Outlet {
    return {
      send: async (messages, limits) => {
        const sending = outlet.send(messages, limits)
        this.#underway.add(sending)
        try {
          await sending
          if (!isOnce) this.#confirmed += messages.length
          this.#tellWell(messages, isOnce)
        } catch (error) {
          this.#tellFailed(messages, error)
          throw error
        } finally {
          this.#underway.delete(sending)
        }
      },
      giveUp: () => outlet.giveUp?.(),
    }
  }

  #tellWell(messages: readonly OutboundMessage[], isOnce: boolean): void {
    if (!endedEvents.hasSubscribers) return
    const { channel } = messages[0]!.envelope
    const count = isOnce ? messages.filter((message) => !this.#lost.has(message)).length : messages.length
    const outcome = isOnce ? 'dispatched' : 'confirmed'
    if (count > 0) endedEvents.publish({ channel, outcome, count, code: null })
  }

  #tellFailed(messages: readonly OutboundMessage[], error: unknown): void {
    if (!endedEvents.hasSubscribers) return
    const outcome = isWaybillError(error) && error.retryable === 'unknown' ? 'unknown' : 'rejected'
    const { channel } = messages[0]!.envelope
    endedEvents.publish({ channel, outcome, count: messages.length, code: describeError(error).code })
  }

  #drop(message: OutboundMessage, code: string): void {
    this.#dropped += 1
    const { id, channel } = message.envelope
    if (endedEvents.hasSubscribers) {
      this.#lost.add(message)
      endedEvents.publish({ channel, outcome: 'dropped', count: 1, code })
    }
    this.#parts.config.logger.warn({ channel, id, code }, 'an at-most-once message was not sent')
  }
}
