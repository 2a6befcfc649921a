import type { StoreCapabilities, TransportCapabilities } from '../kernel/capabilities.ts'
import type { Guarantee } from './guarantees.ts'

/** What `compile` is told of a channel. */
export interface ChannelFacts {
  readonly name: string
  readonly guarantee: Guarantee
  readonly ordered: boolean
  /** May be published in a transaction and wait in the outbox. False where the channel was declared with `outbox: false`. */
  readonly isStored: boolean
  /** Address shared with other channels of the configuration, by name. */
  readonly sharesAddressWith: readonly { readonly name: string; readonly guarantee: Guarantee }[]
  readonly maxAttempts: number | undefined
  readonly onPoison: PoisonPolicy
  readonly expiresAfterMs: number | undefined
  /** `undefined`: as many may wait as there is room for. */
  readonly backlogLimit: BacklogLimit | undefined
  /** Consumers the channel declares (`consumers: { shipping: 'inbox' }`), also those of other services. */
  readonly declaredConsumers: Readonly<Record<string, DeclaredForm>>
}

/**
 * What becomes of an ordered key whose head is given up. `block`: it stays, and its key waits for an operator · `park`: it is a
 * dead letter, and what follows it is kept beside it · `skip`: it is a dead letter, and its key goes on.
 */
export type PoisonPolicy = 'block' | 'park' | 'skip'

/**
 * How a declared consumer keeps a message from having its effect twice.
 * `inbox`: it remembers each id, so a copy on the wire has no effect either · `checkpoint`: its position moves with its effects
 * (a transform's too), so a message is not handled again, but a copy at another position is · `idempotent`: its handler bears a
 * repeat · `none`: nothing does.
 */
export type DeclaredForm = 'inbox' | 'checkpoint' | 'idempotent' | 'none'

/** How many messages of a channel may wait in the outbox, about, and what `publish` does when so many do. */
export interface BacklogLimit {
  readonly maxPending: number
  readonly whenFull: 'refuse' | 'warn'
}

/** What `compile` is told of a handler that was registered here. */
export interface ConsumerFacts {
  readonly name: string
  /** Declared with `idempotent: true`. */
  readonly isIdempotent: boolean
  /** Asked for with `form`; `undefined`: the compiler chooses. */
  readonly form: 'inbox' | 'checkpoint' | undefined
  /** Produces into other channels in the transport's own transaction, without the store. */
  readonly transforms: boolean
  /** Messages of different keys handled side by side, at most. */
  readonly concurrency: number
  readonly handlerTimeoutMs: number
}

export interface TransportFacts {
  readonly name: string
  readonly kind: string
  readonly capabilities: TransportCapabilities
}

export interface StoreFacts {
  readonly kind: string
  readonly capabilities: StoreCapabilities
}

/** Settings that bound how long a guarantee holds; milliseconds. */
export interface WindowFacts {
  readonly leaseMs: number
  readonly publishTimeoutMs: number
  readonly sendDeadlineMs: number
  readonly inboxRetentionMs: number
  /** How long messages are kept after they were sent, to be replayed; 0: not at all. @default 0 */
  readonly retainMs?: number
  readonly maxAttempts: number
  readonly retryInitialMs: number
  readonly retryMaxMs: number
}

/**
 * How the relay moves a stored message.
 * `confirm`: sends, awaits the confirm, deletes · `take`: a committed delete, then the one send · `fence`: one fenced
 * transaction of the transport for a batch and the note of it, then the delete · `handlers`: the transport is local, the
 * consumer's own relay runs its handlers.
 */
export type RelayForm = 'confirm' | 'take' | 'fence' | 'handlers'

/**
 * How a consumer handles a message.
 * `settle-first`: the settlement is answered before the handler starts · `settle-after`: settled after the handler's
 * transaction committed · `inbox`: noted in the handler's transaction, settled after it · `checkpoint`: the stream's position
 * moves in the handler's transaction · `transform`: position and outputs in one transaction of the transport.
 */
export type ConsumerForm = 'settle-first' | 'settle-after' | 'inbox' | 'checkpoint' | 'transform'

/** How a message without a database transaction is sent: `dispatch` once and unanswered, `confirm` until it is confirmed. */
export type SendForm = 'dispatch' | 'confirm' | 'none'

export interface Hop {
  readonly step: 'publish' | 'send' | 'relay' | 'transport' | 'consume'
  /** The consumer of a `consume` hop. */
  readonly consumer?: string
  /** How this hop is kept, in a sentence. */
  readonly how: string
  /** What can still happen here, in a sentence; absent where nothing can. */
  readonly mayHappen?: string
}

/** A time within which the guarantee holds. */
export interface Window {
  readonly what: string
  /** The setting it is, or the transport's option: what to change. Absent where it follows from others. */
  readonly setting?: string
  /** `null`: without end. */
  readonly ms: number | null
  /** What happens after it. */
  readonly after: string
}

/** The whole way of a channel's messages, judged. */
export interface Plan {
  readonly kind: 'plan'
  readonly channel: string
  readonly guarantee: Guarantee
  readonly store: string
  readonly transport: string
  readonly relay: RelayForm | 'none'
  readonly send: SendForm
  /** By the name of each consumer that was registered here. */
  readonly consumers: Readonly<Record<string, ConsumerForm>>
  readonly hops: readonly Hop[]
  readonly windows: readonly Window[]
  readonly mayStillHappen: readonly string[]
  /** What holds, but not for as long or as well as one might think. */
  readonly warnings: readonly string[]
  /** Other forms that would hold here, and what they would spare. */
  readonly offers: readonly string[]
}

export type RefusalCause = 'store' | 'transport' | 'window' | 'order' | 'retry' | 'consumer'

/** A change of the channel, a setting or a consumer with which it compiles, or comes nearer to it; see `applyNearest`. */
export interface Nearest {
  /** What to change, as a person would write it: `guarantee: 'at-least-once'`. */
  readonly words: string
  readonly channel?: Partial<ChannelFacts>
  readonly windows?: Partial<WindowFacts>
  /** Over every consumer that is registered, or the one named. */
  readonly consumer?: { readonly name?: string; readonly change: Partial<Omit<ConsumerFacts, 'name'>> }
}

export interface Refusal {
  readonly kind: 'refusal'
  readonly channel: string
  readonly guarantee: Guarantee
  readonly cause: RefusalCause
  /** Distinct for each reason; stable. */
  readonly reason: string
  /** What cannot hold and why, in one or two sentences. */
  readonly message: string
  readonly nearest: Nearest
}

export interface CompileInput {
  readonly channel: ChannelFacts
  readonly store: StoreFacts
  readonly transport: TransportFacts
  readonly consumers: readonly ConsumerFacts[]
  readonly windows: WindowFacts
}
