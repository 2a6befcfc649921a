import type { CompileInput, ConsumerFacts, Nearest, RefusalCause } from '../plan.ts'

export interface Found {
  /** What cannot hold and why, with the names of channel, transport and consumer. */
  readonly message: string
  readonly nearest: Nearest
}

/** One reason why a choice cannot hold. */
export interface Rule {
  readonly cause: RefusalCause
  /** What cannot hold and why, without names: for the documentation. */
  readonly what: string
  /** What to do, without names: for the documentation. */
  readonly instead: string
  /** `null`: this stands in nobody's way. */
  readonly find: (input: CompileInput) => Found | null
}

/** `Channel "orders" cannot be exactly-once over "events" (kafka)` */
export function cannotBe({ channel, transport }: CompileInput): string {
  const over = transport.name === transport.kind ? transport.kind : `"${transport.name}" (${transport.kind})`
  return `Channel "${channel.name}" cannot be ${channel.guarantee} over ${over}`
}

/** `Consumer "shipping" of channel "orders" (exactly-once)` */
export function consumerOf({ channel }: CompileInput, name: string): string {
  return `Consumer "${name}" of channel "${channel.name}" (${channel.guarantee})`
}

/** A rule about each registered consumer by itself: what the first of them meets. */
export function eachConsumer(
  find: (input: CompileInput, consumer: ConsumerFacts) => Found | null,
): (input: CompileInput) => Found | null {
  return (input) => {
    for (const consumer of input.consumers) {
      const found = find(input, consumer)
      if (found !== null) return found
    }
    return null
  }
}
