import type { Fate } from '../../ports/transport.ts'

export type Rejected = Extract<Fate, { outcome: 'rejected' }>

interface Refusal {
  readonly name: string
  readonly scope: 'message' | 'destination'
  readonly retryable: boolean
  /** The state the broker keeps of this producer is gone or another's: only a new producer can go on. */
  readonly endsProducer?: true
}

const destination = (name: string): Refusal => ({ name, scope: 'destination', retryable: true })
const message = (name: string, retryable = false): Refusal => ({ name, scope: 'message', retryable })
const producer = (name: string): Refusal => ({ ...destination(name), endsProducer: true })

/**
 * Answers to a produce request after which the batch is certainly not in the log. Every other error (a time-out while
 * replicas were waited for, NOT_ENOUGH_REPLICAS_AFTER_APPEND, an unknown server error) leaves that open: `unknown`. So does
 * NOT_LEADER_OR_FOLLOWER: who has appended a batch and then lost the lead answers it with that, and its successor may have it.
 */
const refusals: ReadonlyMap<number, Refusal> = new Map([
  [2, message('CORRUPT_MESSAGE', true)],
  [3, destination('UNKNOWN_TOPIC_OR_PARTITION')],
  [5, destination('LEADER_NOT_AVAILABLE')],
  [10, message('MESSAGE_TOO_LARGE')],
  [17, destination('INVALID_TOPIC_EXCEPTION')],
  [18, message('RECORD_LIST_TOO_LARGE')],
  [19, destination('NOT_ENOUGH_REPLICAS')],
  [29, destination('TOPIC_AUTHORIZATION_FAILED')],
  [31, destination('CLUSTER_AUTHORIZATION_FAILED')],
  [32, message('INVALID_TIMESTAMP', true)],
  [44, message('POLICY_VIOLATION')],
  [45, producer('OUT_OF_ORDER_SEQUENCE_NUMBER')],
  [47, producer('INVALID_PRODUCER_EPOCH')],
  [59, producer('UNKNOWN_PRODUCER_ID')],
  [74, destination('FENCED_LEADER_EPOCH')],
  [75, destination('UNKNOWN_LEADER_EPOCH')],
  [87, message('INVALID_RECORD')],
  [89, destination('THROTTLING_QUOTA_EXCEEDED')],
  [90, producer('PRODUCER_FENCED')],
  [100, destination('UNKNOWN_TOPIC_ID')],
  [103, destination('INCONSISTENT_TOPIC_ID')],
])

/** 46, DUPLICATE_SEQUENCE_NUMBER: the batch is there, from an attempt whose answer was lost. */
export function isAccepted(code: number): boolean {
  return code === 0 || code === 46
}

export function refusalOf(code: number): Refusal | undefined {
  return refusals.get(code)
}

export const confirmed: Fate = { outcome: 'confirmed' }

export function rejectedBy(refusal: Refusal): Fate {
  const { name, scope, retryable } = refusal
  return { outcome: 'rejected', scope, retryable, code: name, reason: `The broker refused it: ${name}.` }
}

export function notSent(code: string, reason: string): Rejected {
  return { outcome: 'rejected', scope: 'destination', retryable: true, code, reason }
}

/** What the system and the library call a broker that cannot be reached. */
const noBroker = /^(?:E[A-Z]+|PLT_KFK_(?:NETWORK|TIMEOUT))$/u

/** No request with it left. A refused connection has many names at many systems: one code for all, the name as reason. */
export function notTaken(name: string): Rejected {
  const code = noBroker.test(name) ? 'WB_BROKER_UNREACHABLE' : name
  return notSent(code, `It was not sent: no broker took it (${name}).`)
}

export const unknown: Fate = {
  outcome: 'unknown',
  code: 'WB_PUBLISH_OUTCOME_UNKNOWN',
  reason: 'It was sent, and the broker did not answer in time.',
}

/** It is not to blame: no attempt is counted. */
export const heldBack: Fate = {
  outcome: 'rejected',
  scope: 'send',
  retryable: true,
  code: 'WB_ABORTED',
  reason: 'It was not sent: an earlier message of its key was not confirmed.',
}

export const abortedTogether: Fate = {
  outcome: 'rejected',
  scope: 'message',
  retryable: true,
  code: 'WB_ABORTED',
  reason: 'It is not there: another message of its transaction was refused.',
}

export const notRunning: Rejected = notSent('WB_NOT_RUNNING', 'It was not sent: the publisher is closed.')
