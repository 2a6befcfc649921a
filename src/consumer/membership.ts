import type { Clock, Random } from '../kernel/clock.ts'
import { withDeadline } from '../kernel/deadline.ts'
import { describeError, WaybillError } from '../kernel/errors.ts'
import type { Logger } from '../kernel/logger.ts'
import { backoffMs, type Backoff } from '../kernel/retry.ts'
import type {
  CommitResult,
  Delivery,
  OutboundMessage,
  RevocationCalls,
  SettledPosition,
  Subscription,
} from '../ports/transport.ts'

export interface MembershipOptions {
  readonly consumer: string
  readonly subscribe: (calls: RevocationCalls) => Promise<Subscription>
  readonly onRevoked: (streams: readonly string[]) => void
  readonly onRevoking: (streams: readonly string[]) => Promise<void>
  /** Everything that was assigned is lost, before the old subscription closes. */
  readonly onGivenUp: () => void
  readonly closeTimeoutMs: number
  readonly trouble: Backoff
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
}

/**
 * A subscription that can be given up and begun anew. That is needed where a settlement was not answered and nothing may run
 * twice: it may still arrive, after later ones, and would set the broker's position back. The broker refuses what comes in
 * the name of a membership that is over.
 */
export class Membership implements Required<
  Pick<Subscription, 'receive' | 'settle' | 'stillHolds' | 'commit'>
> {
  readonly #options: MembershipOptions
  readonly #closed = new AbortController()
  #subscription: Promise<Subscription> = new Promise(() => {})
  /** The same, once it is there. */
  #joined: Subscription | undefined
  #generation = 0
  #over = new AbortController()
  #renewal: Promise<void> | undefined
  /** Each subscription counts its assignments for itself; here they grow on. */
  #base = 0
  #highest = 0

  constructor(options: MembershipOptions) {
    this.#options = options
  }

  /** Whether there is a subscription that the broker counts as a member, or cannot tell. */
  get isMember(): boolean {
    return this.#joined !== undefined && this.#joined.isMember !== false
  }

  /** Rejects where the broker refuses the first subscription. Nothing else is to be called then. */
  async open(): Promise<void> {
    this.#subscription = this.#subscribe()
    this.#joined = await this.#subscription
  }

  async receive(most: number, signal: AbortSignal): Promise<readonly Delivery[]> {
    const generation = this.#generation
    const end = AbortSignal.any([signal, this.#over.signal])
    const subscription = await unlessAborted(this.#subscription, end)
    const deliveries = (await subscription?.receive(most, end)) ?? []
    // Of a membership that is over: they were not settled, and come again.
    if (generation !== this.#generation) return []
    const base = this.#base
    for (const { assignment } of deliveries) this.#highest = Math.max(this.#highest, base + assignment)
    if (base === 0) return deliveries
    return deliveries.map((delivery) => ({ ...delivery, assignment: base + delivery.assignment }))
  }

  async settle(positions: readonly SettledPosition[]): Promise<readonly boolean[]> {
    const base = this.#base
    const own = positions.filter(({ assignment }) => assignment > base)
    if (own.length === 0) return positions.map(() => false)
    const subscription = await this.#subscription
    const answers = await subscription.settle(
      own.map((position) => ({ ...position, assignment: position.assignment - base })),
    )
    return positions.map((position) => answers[own.indexOf(position)] ?? false)
  }

  /** Of one assignment; rejects nothing. Where the membership was given up meanwhile it is refused. */
  async commit(
    positions: readonly SettledPosition[],
    outputs: readonly OutboundMessage[],
    timeoutMs: number,
  ): Promise<CommitResult> {
    const base = this.#base
    if (positions.some(({ assignment }) => assignment <= base)) return { outcome: 'refused' }
    const subscription = await this.#subscription
    if (subscription.commit === undefined) {
      throw new WaybillError('WB_GUARANTEE_UNSUPPORTED', 'The transport has no transaction for a transform.')
    }
    const own = positions.map((position) => ({ ...position, assignment: position.assignment - base }))
    return await subscription.commit(own, outputs, timeoutMs)
  }

  /** Whether the stream of this position, which was settled, cannot be another's yet. Never rejects. */
  async stillHolds(position: SettledPosition): Promise<boolean> {
    const base = this.#base
    if (position.assignment <= base) return false
    const subscription = await this.#subscription
    if (subscription.stillHolds === undefined) return true
    const own = { ...position, assignment: position.assignment - base }
    const holds = await subscription.stillHolds(own).catch(() => false)
    return holds && base === this.#base
  }

  /** Gives the membership up and asks for another one until there is one, or `close`. Never rejects. */
  renew(): Promise<void> {
    if (this.#closed.signal.aborted) return Promise.resolve()
    this.#renewal ??= this.#renew().finally(() => {
      this.#renewal = undefined
    })
    return this.#renewal
  }

  async close(): Promise<void> {
    this.#closed.abort()
    const renewal = this.#renewal
    if (renewal === undefined) return await (await this.#subscription).close()
    const last = renewal.then(async () => (await this.#subscription).close())
    await withDeadline(last, this.#options.closeTimeoutMs, 'Leaving the broker').catch(() => {})
  }

  #subscribe(): Promise<Subscription> {
    const generation = this.#generation
    // A membership that is over has nothing left to lose; the streams may be assigned here again.
    const isOver = (): boolean => generation !== this.#generation
    return this.#options.subscribe({
      onRevoked: (streams) => {
        if (!isOver()) this.#options.onRevoked(streams)
      },
      onRevoking: async (streams) => {
        if (!isOver()) await this.#options.onRevoking(streams)
      },
    })
  }

  async #renew(): Promise<void> {
    const { onGivenUp, closeTimeoutMs, consumer, logger } = this.#options
    const old = this.#subscription
    const { promise, resolve } = Promise.withResolvers<Subscription>()
    this.#subscription = promise
    this.#joined = undefined
    this.#generation += 1
    this.#over.abort()
    this.#over = new AbortController()
    this.#base = this.#highest
    onGivenUp()
    logger.warn({ consumer }, 'giving up the membership at the broker, and joining anew')
    const closing = old.then((subscription) => subscription.close())
    await withDeadline(closing, closeTimeoutMs, 'Leaving the broker').catch(() => {})
    // While it stops there is nothing to join for; the old one is closed a second time, which is nothing.
    this.#joined = await this.#join()
    resolve(this.#joined ?? (await old))
  }

  async #join(): Promise<Subscription | undefined> {
    const { clock, trouble, random, logger, consumer } = this.#options
    const { signal } = this.#closed
    for (let failures = 1; !signal.aborted; failures++) {
      try {
        return await this.#subscribe()
      } catch (error) {
        logger.warn({ consumer, error: describeError(error) }, 'could not subscribe anew; trying again')
      }
      await clock.sleep(backoffMs(failures, trouble, random), signal)
    }
    return undefined
  }
}

/** `undefined`: the signal aborted first. */
async function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T | undefined> {
  if (signal.aborted) return undefined
  const { promise, resolve } = Promise.withResolvers<undefined>()
  const onAbort = (): void => resolve(undefined)
  signal.addEventListener('abort', onAbort, { once: true })
  try {
    return await Promise.race([work, promise])
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}
