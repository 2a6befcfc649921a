import type { Delivery, SettledPosition, SubscribeRequest, Subscription } from '../../src/ports/transport.ts'

const stream = 'orders/0'

/**
 * A broker with one stream that is a log: it keeps a position for the group and starts a new member from there. Whoever joins
 * last has the stream; a settlement of an earlier member is refused.
 */
export class LogBroker {
  readonly log: Pick<Delivery, 'envelope' | 'raw'>[] = []
  /** The next position, as the group's last settlement said. */
  committed = 0n
  #generation = 0
  #arrived: PromiseWithResolvers<void> = Promise.withResolvers()

  append(...entries: readonly Pick<Delivery, 'envelope' | 'raw'>[]): void {
    this.log.push(...entries)
    this.#arrived.resolve()
    this.#arrived = Promise.withResolvers()
  }

  get end(): bigint {
    return BigInt(this.log.length)
  }

  readonly subscribe = async (request: SubscribeRequest): Promise<Subscription> => {
    const generation = ++this.#generation
    let next: bigint | undefined
    const isMember = (): boolean => generation === this.#generation
    return {
      receive: async (most, signal) => {
        const started = await request.startAt?.([{ stream, lineage: 'log' }])
        next ??= started?.get(stream) ?? this.committed
        const hasSome = (): boolean => isMember() && next! < this.end
        while (!hasSome() && !signal.aborted) {
          const { promise, resolve } = Promise.withResolvers<void>()
          signal.addEventListener('abort', () => resolve(), { once: true })
          await Promise.race([this.#arrived.promise, promise])
        }
        if (signal.aborted) return []
        const taken = this.log.slice(Number(next), Number(next) + most)
        const from = next
        next += BigInt(taken.length)
        return taken.map((entry, i) => ({ ...entry, stream, position: from + BigInt(i), assignment: 1 }))
      },
      settle: async (positions: readonly SettledPosition[]) => {
        if (!isMember()) return positions.map(() => false)
        for (const { position } of positions) this.committed = position + 1n
        return positions.map(() => true)
      },
      close: async () => {},
    }
  }
}
