import type {
  AssignedStream,
  CommitResult,
  Delivery,
  OutboundMessage,
  SettledPosition,
  SubscribeRequest,
  Subscription,
} from '../../src/ports/transport.ts'

/** A broker's side of one consumer: what is put into it is received, what is settled is noted. */
export class FakeBroker {
  readonly settled: string[] = []
  readonly requests: SubscribeRequest[] = []
  /** What each new subscription is assigned. */
  readonly streams: readonly AssignedStream[] = ['orders/0', 'orders/1'].map((stream) => {
    return { stream, lineage: 'log' }
  })
  /** Most deliveries that `receive` was asked for, each time. */
  readonly asked: number[] = []
  /** Each is thrown by one call. */
  readonly receiveErrors: unknown[] = []
  readonly settleErrors: unknown[] = []
  /** Each is what one call is answered, for every position; where there is none, `true`. */
  readonly settleAnswers: boolean[] = []
  /** Each is what one call is answered that asks whether a stream is held still; where there is none, `true`. */
  readonly holdAnswers: boolean[] = []
  /** What was asked so. */
  readonly heldAsked: string[] = []
  /** Called when a settlement arrives, before it is answered. */
  onSettle: () => Promise<void> | void = () => {}
  /** Each transaction that was committed: its positions and the payloads of its outputs. */
  readonly committed: { readonly positions: string[]; readonly outputs: string[] }[] = []
  /** Outputs in the order that their transactions committed. */
  readonly outputs: OutboundMessage[] = []
  /** Each is what one transaction is answered; where there is none, `committed`. */
  readonly commitAnswers: ((outputs: readonly OutboundMessage[]) => CommitResult | Promise<CommitResult>)[] =
    []
  closed = 0
  readonly #waiting: Delivery[] = []
  #arrived: () => void = () => {}
  readonly #watchers = new Set<() => void>()

  put(...deliveries: Delivery[]): void {
    this.#waiting.push(...deliveries)
    this.#arrived()
  }

  readonly subscribe = async (request: SubscribeRequest): Promise<Subscription> => {
    this.requests.push(request)
    let isAssigned = false
    return {
      receive: async (most, signal) => {
        if (!isAssigned && request.startAt !== undefined) await request.startAt(this.streams)
        isAssigned = true
        return await this.#receive(most, signal)
      },
      settle: async (positions) => {
        await this.onSettle()
        if (this.settleErrors.length > 0) throw this.settleErrors.shift()
        if (this.settleAnswers.shift() === false) return positions.map(() => false)
        for (const { stream, position } of positions) this.settled.push(`${stream}@${position}`)
        for (const watcher of this.#watchers) watcher()
        return positions.map(() => true)
      },
      stillHolds: async ({ stream, position }) => {
        this.heldAsked.push(`${stream}@${position}`)
        return this.holdAnswers.shift() ?? true
      },
      ...(request.transforms === true
        ? { commit: async (positions, outputs) => this.#commit(positions, outputs) }
        : {}),
      close: async () => {
        this.closed += 1
      },
    }
  }

  /** Resolves once this position was settled. */
  async settledUpTo(position: string): Promise<void> {
    while (!this.settled.includes(position)) {
      await new Promise<void>((resolve) => {
        const watcher = (): void => {
          this.#watchers.delete(watcher)
          resolve()
        }
        this.#watchers.add(watcher)
      })
    }
  }

  async #commit(
    positions: readonly SettledPosition[],
    outputs: readonly OutboundMessage[],
  ): Promise<CommitResult> {
    const result = (await this.commitAnswers.shift()?.(outputs)) ?? { outcome: 'committed' }
    if (result.outcome !== 'committed') return result
    this.committed.push({
      positions: positions.map(({ stream, position }) => `${stream}@${position}`),
      outputs: outputs.map(
        ({ envelope: { payload } }) => JSON.parse(Buffer.from(payload).toString()) as string,
      ),
    })
    this.outputs.push(...outputs)
    for (const { stream, position } of positions) this.settled.push(`${stream}@${position}`)
    for (const watcher of this.#watchers) watcher()
    return result
  }

  async #receive(most: number, signal: AbortSignal): Promise<readonly Delivery[]> {
    this.asked.push(most)
    if (this.receiveErrors.length > 0) throw this.receiveErrors.shift()
    if (this.#waiting.length === 0 && !signal.aborted) {
      await new Promise<void>((resolve) => {
        this.#arrived = resolve
        signal.addEventListener('abort', () => resolve(), { once: true })
      })
    }
    return signal.aborted ? [] : this.#waiting.splice(0, most)
  }
}
