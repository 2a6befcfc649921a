import type { Socket } from 'node:net'
import { setImmediate } from 'node:timers/promises'
import { systemClock } from '../kernel/clock.ts'

/** A reply that is to be lost; see `dropReplies` of the proxy. */
export interface Drop {
  readonly request: ((chunk: Buffer) => boolean) | undefined
  readonly reply: ((chunk: Buffer) => boolean) | undefined
  /** Ends or silences the connection it happened on. */
  readonly happened: (pump: Pump) => void
  /** The request has passed here, and the reply has not come yet. */
  awaitedBy: Pump | undefined
}

/** What the proxy's pumps are subject to at the moment. */
export interface Weather {
  /** Nothing passes until it resolves. */
  gate: Promise<void> | undefined
  latencyMs: number
  sliceBytes: number
  /** Called when the next reply has been cut. */
  cut: (() => void) | undefined
  readonly drops: Set<Drop>
}

interface Parcel {
  /** `null`: the source has ended. */
  readonly chunk: Buffer | null
  readonly due: number
}

const mostQueuedBytes = 1_048_576

/** Carries the bytes of one proxied connection, both ways. */
export class Pump {
  readonly #weather: Weather
  readonly #client: Socket
  readonly #upstream: Socket
  readonly #reset: () => void

  constructor(weather: Weather, client: Socket, upstream: Socket, reset: () => void) {
    this.#weather = weather
    this.#client = client
    this.#upstream = upstream
    this.#reset = reset
    this.#carry(client, upstream, (chunk) => this.#request(chunk))
    this.#carry(upstream, client, (chunk) => this.#reply(chunk))
    client.once('close', () => this.#forgetRequest())
    upstream.once('close', () => this.#forgetRequest())
  }

  /** No reply comes on a connection that has ended: another one's request is waited for. */
  #forgetRequest(): void {
    for (const drop of this.#weather.drops) if (drop.awaitedBy === this) drop.awaitedBy = undefined
  }

  // A queue with times of arrival, so that latency delays each chunk and does not add up over many.
  #carry(source: Socket, sink: Socket, deliver: (chunk: Buffer) => Promise<void>): void {
    const queue: Parcel[] = []
    let queuedBytes = 0
    let isDraining = false
    const drain = async (): Promise<void> => {
      if (isDraining) return
      isDraining = true
      for (let parcel = queue.shift(); parcel !== undefined; parcel = queue.shift()) {
        await this.#clearance(parcel.due)
        if (sink.destroyed) continue
        if (parcel.chunk === null) {
          sink.end()
          continue
        }
        await deliver(parcel.chunk)
        queuedBytes -= parcel.chunk.length
        if (queuedBytes < mostQueuedBytes) source.resume()
      }
      isDraining = false
    }
    const enqueue = (chunk: Buffer | null): void => {
      queue.push({ chunk, due: systemClock.now() + this.#weather.latencyMs })
      queuedBytes += chunk?.length ?? 0
      if (queuedBytes >= mostQueuedBytes && !sink.destroyed) source.pause()
      void drain()
    }
    source.on('data', enqueue)
    source.once('end', () => {
      enqueue(null)
    })
  }

  async #clearance(due: number): Promise<void> {
    do {
      await this.#weather.gate
      const wait = due - systemClock.now()
      if (wait > 0) await systemClock.sleep(wait)
      // A black hole may have opened meanwhile.
    } while (this.#weather.gate !== undefined)
  }

  async #request(chunk: Buffer): Promise<void> {
    for (const drop of this.#weather.drops) {
      if (drop.awaitedBy !== undefined || drop.request?.(chunk) !== true) continue
      drop.awaitedBy = this
      break
    }
    await this.#write(this.#upstream, chunk)
  }

  async #reply(chunk: Buffer): Promise<void> {
    const drop = this.#droppedBy(chunk)
    if (drop !== undefined) {
      this.#weather.drops.delete(drop)
      drop.happened(this)
      return
    }
    const { cut } = this.#weather
    if (cut !== undefined) {
      this.#weather.cut = undefined
      await this.#write(this.#client, chunk.subarray(0, Math.floor(chunk.length / 2)))
      this.#reset()
      cut()
      return
    }
    await this.#write(this.#client, chunk)
  }

  #droppedBy(chunk: Buffer): Drop | undefined {
    return [...this.#weather.drops].find(({ request, reply, awaitedBy }) =>
      request === undefined ? reply?.(chunk) === true : awaitedBy === this && reply?.(chunk) !== false,
    )
  }

  async #write(sink: Socket, chunk: Buffer): Promise<void> {
    const size = this.#weather.sliceBytes > 0 ? this.#weather.sliceBytes : chunk.length
    for (let at = 0; at < chunk.length && !sink.destroyed; at += size) {
      // Resolves on failure too: the connection's own error handler deals with that.
      await new Promise<void>((resolve) => sink.write(chunk.subarray(at, at + size), () => resolve()))
      // So that the pieces do not meet again in one read.
      if (size < chunk.length) await setImmediate()
    }
  }
}
