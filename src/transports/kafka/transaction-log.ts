import { isAccepted } from './fates.ts'
import { hasKafkaError, responseIn } from './kafka-error.ts'

/** The operations that belong to a transaction; all of them pass through here. */
export type TransactionStep =
  | 'AddPartitionsToTxn'
  | 'AddOffsetsToTxn'
  | 'Produce'
  | 'TxnOffsetCommit'
  | 'EndTxn'

interface TopicAnswer {
  readonly name: string
  readonly partitionResponses?: readonly { readonly index: number; readonly errorCode: number }[]
  readonly resultsByPartition?: readonly {
    readonly partitionIndex: number
    readonly partitionErrorCode: number
  }[]
}

interface Answer {
  readonly responses?: readonly TopicAnswer[]
  readonly resultsByTransaction?: readonly { readonly topicResults: readonly TopicAnswer[] }[]
}

/** Not attempted, because another partition of the same request was refused. */
const notAttempted = 55

/**
 * Answers that say of a request to end the transaction that it did nothing. The coordinator gives them before it writes; all
 * others may also come after the decision was written (a coordinator that moved, a time-out of its own replicas).
 */
const notEnded = [
  'PRODUCER_FENCED',
  'INVALID_PRODUCER_EPOCH',
  'INVALID_PRODUCER_ID_MAPPING',
  'INVALID_TXN_STATE',
  'TRANSACTIONAL_ID_AUTHORIZATION_FAILED',
  'CONCURRENT_TRANSACTIONS',
]

/**
 * A successor has this transactional id. The last of them also says that the id was forgotten, which is no better: nobody can
 * tell then whether there was a successor.
 */
const fencings = ['PRODUCER_FENCED', 'INVALID_PRODUCER_EPOCH', 'INVALID_PRODUCER_ID_MAPPING']

export function isFencing(error: unknown): boolean {
  return hasKafkaError(error, ...fencings)
}

/**
 * What was asked of the broker in one transaction and what it answered, seen where requests leave and answers come. The
 * library's own result is one error for all attempts; at a deadline there is none.
 */
export class TransactionLog {
  #isSealed = false
  #isBegun = false
  #openCommits = 0
  readonly #refusals = new Map<string, number>()

  /** After this no request leaves any more, so that what was not asked stays so. */
  seal(): void {
    this.#isSealed = true
  }

  get isSealed(): boolean {
    return this.#isSealed
  }

  /** Whether the broker may have the transaction open. */
  get isBegun(): boolean {
    return this.#isBegun
  }

  /** A commit was asked for, and no answer says that it was not done. */
  get mayBeCommitted(): boolean {
    return this.#openCommits > 0
  }

  /** The broker's last word on a partition of this transaction, where that was a refusal. */
  refusalOf(topic: string, partition: number): number | undefined {
    return this.#refusals.get(`${topic}/${partition}`)
  }

  /** A request is about to leave; `false`: it may not. */
  begin(step: TransactionStep, isCommit: boolean): boolean {
    if (this.#isSealed) return false
    if (step !== 'EndTxn') this.#isBegun = true
    else if (isCommit) this.#openCommits += 1
    return true
  }

  answer(step: TransactionStep, isCommit: boolean, error: Error | null, response: unknown): void {
    if (step === 'EndTxn') {
      if (isCommit && error !== null && hasKafkaError(error, ...notEnded)) this.#openCommits -= 1
      return
    }
    const answer = (response ?? responseIn(error)) as Answer | undefined
    const topics = answer?.responses ?? answer?.resultsByTransaction?.flatMap((one) => one.topicResults) ?? []
    for (const { name, partitionResponses = [], resultsByPartition = [] } of topics) {
      for (const { index, errorCode } of partitionResponses) this.#note(name, index, errorCode)
      for (const one of resultsByPartition) this.#note(name, one.partitionIndex, one.partitionErrorCode)
    }
  }

  #note(topic: string, partition: number, code: number): void {
    const place = `${topic}/${partition}`
    if (isAccepted(code)) this.#refusals.delete(place)
    else if (code !== notAttempted) this.#refusals.set(place, code)
  }
}
