import type { Envelope } from '../../kernel/message.ts'
import type { RefusedMessage } from '../../ports/inbox.ts'
import type { Loss } from '../../ports/outbox.ts'

/** A message that a consumer gave up, as it came to be so. */
export interface GivenUp extends Omit<RefusedMessage, 'reason'> {
  readonly consumer: string
  readonly reason: RefusedMessage['reason'] | 'follower'
  /** Its key waits for an operator, with all that stands behind it. */
  readonly isBlocked: boolean
}

/** What becomes of an ordered key whose head was given up, where anything does. */
export type Holding = 'block' | 'park'

/** What was given up, what was lost, which keys are held by it, and how often messages were begun. */
export class Records {
  readonly givenUp: GivenUp[] = []
  readonly losses: { readonly consumer: string; readonly loss: Loss }[] = []
  /** How often a message was begun alone, which counts as an attempt, by its idempotency key at the consumer. */
  readonly starts: Map<string, number> = new Map()
  readonly #held = new Map<string, Holding>()
  readonly #policyOf: (channel: string) => Holding | null

  /** @param policyOf for channels over a local transport; of others the key goes on behind a dead letter */
  constructor(policyOf: (channel: string) => Holding | null) {
    this.#policyOf = policyOf
  }

  bury(consumer: string, message: RefusedMessage): void {
    const { envelope } = message
    const policy = envelope.key === null ? null : this.#policyOf(envelope.channel)
    if (policy !== null) this.#held.set(nameOf(consumer, envelope), policy)
    this.givenUp.push({ ...message, consumer, isBlocked: policy === 'block' })
  }

  /** Whether its key is held before this consumer. */
  holds(consumer: string, envelope: Envelope): Holding | undefined {
    return envelope.key === null ? undefined : this.#held.get(nameOf(consumer, envelope))
  }

  /** Whether a message of this channel must wait until those before it in its key are done: they may hold it. */
  mayHold({ channel, key }: Envelope): boolean {
    return key !== null && this.#policyOf(channel) !== null
  }

  /** It stands behind a head that was parked. */
  follow(consumer: string, envelope: Envelope): void {
    this.givenUp.push({
      envelope,
      consumer,
      attempts: 0,
      reason: 'follower',
      errorCode: 'WB_HANDLER_FAILED',
      error: 'It stands behind a message of its key that was given up.',
      isBlocked: false,
    })
  }
}

function nameOf(consumer: string, { channel, key }: Envelope): string {
  return `${consumer}\0${channel}\0${key}`
}
