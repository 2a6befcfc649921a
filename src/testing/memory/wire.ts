import type { Envelope } from '../../kernel/message.ts'
import type { OutboundMessage } from '../../ports/transport.ts'

/** A message that was published and committed, or sent. */
export interface WireMessage extends OutboundMessage {
  /** Name of the transport it goes by. */
  readonly transport: string
  /** It was published with a delay. */
  readonly isDelayed: boolean
}

/** Everything that was published, in the order of commits, and how far it was handed over. */
export class Wire {
  readonly #all: WireMessage[] = []
  #waiting: WireMessage[] = []

  get envelopes(): readonly Envelope[] {
    return this.#all.map(({ envelope }) => envelope)
  }

  add(messages: readonly WireMessage[]): void {
    this.#all.push(...messages)
    this.#waiting.push(...messages)
  }

  /** From elsewhere: nobody here published it. */
  receive(message: WireMessage): void {
    this.#waiting.push(message)
  }

  /** What nobody has taken yet, in order; without what is delayed unless that is asked for. */
  take(isDelayedToo: boolean): readonly WireMessage[] {
    const taken = this.#waiting.filter(({ isDelayed }) => isDelayedToo || !isDelayed)
    this.#waiting = this.#waiting.filter((message) => !taken.includes(message))
    return taken
  }
}
