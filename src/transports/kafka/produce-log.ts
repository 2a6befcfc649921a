import type { Fate } from '../../ports/transport.ts'
import { confirmed, isAccepted, refusalOf, rejectedBy, unknown } from './fates.ts'

interface Place {
  readonly topic: string
  readonly partition?: number
}

interface ProduceAnswer {
  readonly responses: readonly {
    readonly name: string
    readonly partitionResponses: readonly { readonly index: number; readonly errorCode: number }[]
  }[]
}

interface PartitionState {
  isConfirmed: boolean
  /** Requests that were handed to the connection and have no answer that settles them. */
  open: number
  refusal: number | undefined
}

export type Verdict =
  | { readonly kind: 'fate'; readonly fate: Fate }
  /** The whole batch was refused, and one message of it may be the reason. */
  | { readonly kind: 'refused'; readonly fate: Fate }
  | { readonly kind: 'not-written' }

/**
 * What became of one send, partition by partition, seen where requests leave and answers come. The library's own result is
 * one error for all partitions and all attempts, and at a deadline there is none; from here it is known at any moment
 * whether a record may be in the log.
 */
export class ProduceLog {
  readonly #partitions = new Map<string, PartitionState>()
  #isSealed = false
  #isProducerOver = false

  /** After this nothing more may be written, so that "not written" stays true. */
  seal(): void {
    this.#isSealed = true
  }

  get isSealed(): boolean {
    return this.#isSealed
  }

  get isProducerOver(): boolean {
    return this.#isProducerOver
  }

  /** A request is about to leave; `false`: it may not. */
  begin(places: readonly Place[]): boolean {
    if (this.#isSealed) return false
    for (const key of keysOf(places)) {
      const state = this.#partitions.get(key)
      if (state === undefined) this.#partitions.set(key, { isConfirmed: false, open: 1, refusal: undefined })
      else state.open += 1
    }
    return true
  }

  /** A request was answered. One that got no answer stays open, whatever a later attempt is told. */
  answer(response: unknown): void {
    if (!isAnswer(response)) return
    for (const { name, partitionResponses } of response.responses) {
      for (const { index, errorCode } of partitionResponses) {
        const state = this.#partitions.get(keyOf(name, index))
        if (state === undefined) continue
        if (isAccepted(errorCode)) state.isConfirmed = true
        const refusal = refusalOf(errorCode)
        if (refusal === undefined) continue
        state.open -= 1
        state.refusal = errorCode
        if (refusal.endsProducer === true) this.#isProducerOver = true
      }
    }
  }

  verdict(topic: string, partition: number): Verdict {
    const state = this.#partitions.get(keyOf(topic, partition))
    if (state === undefined) return { kind: 'not-written' }
    if (state.isConfirmed) return { kind: 'fate', fate: confirmed }
    const refusal = state.refusal === undefined ? undefined : refusalOf(state.refusal)
    if (state.open > 0 || refusal === undefined) return { kind: 'fate', fate: unknown }
    return { kind: refusal.scope === 'message' ? 'refused' : 'fate', fate: rejectedBy(refusal) }
  }
}

function keyOf(topic: string, partition: number): string {
  return `${topic}/${partition}`
}

function keysOf(places: readonly Place[]): Set<string> {
  const keys = new Set<string>()
  for (const { topic, partition } of places) keys.add(keyOf(topic, partition ?? 0))
  return keys
}

function isAnswer(response: unknown): response is ProduceAnswer {
  return typeof response === 'object' && response !== null && 'responses' in response
}
