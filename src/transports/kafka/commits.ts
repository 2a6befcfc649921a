import type { Consumer } from '@platformatic/kafka'
import { systemClock } from '../../kernel/clock.ts'
import { withDeadline } from '../../kernel/deadline.ts'
import { WaybillError } from '../../kernel/errors.ts'
import { coordinatorOf, findApi } from './broker-api.ts'
import type { KafkaLibrary } from './client.ts'
import { hasKafkaError, isRetryable, kafkaErrorName } from './kafka-error.ts'

/** The next offset to be read of a topic partition: what a commit says. */
export interface NextOffset {
  readonly topic: string
  readonly partition: number
  readonly offset: bigint
}

/** Who commits. Both change with each assignment, and the broker refuses those of an older one. */
export interface Membership {
  readonly groupId: string
  readonly memberId: string
  readonly generationId: number
}

/** `refused`: the assignment is over, and whoever has the partitions now decides. */
export type CommitOutcome = 'committed' | 'refused'

const pauseMs = 100

/** The group has a new assignment, or is making one: what is committed in the name of the old one is refused. */
const moved = [
  'ILLEGAL_GENERATION',
  'UNKNOWN_MEMBER_ID',
  'REBALANCE_IN_PROGRESS',
  'FENCED_INSTANCE_ID',
  'STALE_MEMBER_EPOCH',
  'FENCED_MEMBER_EPOCH',
]

/**
 * Commits of one assignment. The library's own `commit` speaks in the name of whatever generation it is in when the
 * request leaves, and after a refusal joins again and commits the old position into the new generation, where the partition
 * may be another member's. Here a commit carries the generation its deliveries came in, and a refusal is final.
 */
export class Commits {
  readonly #kafka: KafkaLibrary
  readonly #client: Consumer
  readonly #membership: Membership
  readonly #timeoutMs: number
  #waiting = new Map<string, NextOffset>()
  #running: Promise<CommitOutcome> = Promise.resolve('committed')
  #next: Promise<CommitOutcome> | undefined

  constructor(kafka: KafkaLibrary, client: Consumer, membership: Membership, timeoutMs: number) {
    this.#kafka = kafka
    this.#client = client
    this.#membership = membership
    this.#timeoutMs = timeoutMs
  }

  /**
   * One request at a time: of two that overlap the lower could land last. Rejects with `WB_BROKER_UNREACHABLE` where no
   * answer came in time.
   */
  commit(offsets: readonly NextOffset[], signal: AbortSignal): Promise<CommitOutcome> {
    for (const next of offsets) {
      const key = `${next.topic}/${next.partition}`
      if ((this.#waiting.get(key)?.offset ?? -1n) < next.offset) this.#waiting.set(key, next)
    }
    this.#next ??= this.#running
      .catch(() => 'refused')
      .then(() => {
        const batch = [...this.#waiting.values()]
        this.#waiting = new Map()
        this.#next = undefined
        this.#running = this.#send(batch, signal)
        return this.#running
      })
    return this.#next
  }

  async #send(batch: readonly NextOffset[], signal: AbortSignal): Promise<CommitOutcome> {
    const topics = requestOf(batch)
    const until = systemClock.now() + this.#timeoutMs
    for (let code = 'WB_TIMED_OUT'; !signal.aborted; await systemClock.sleep(pauseMs, signal)) {
      const leftMs = until - systemClock.now()
      if (leftMs <= 0) throw unreachable(this.#membership.groupId, code)
      try {
        await withDeadline(this.#request(topics), leftMs, 'A commit', signal)
        return 'committed'
      } catch (error) {
        if (hasKafkaError(error, ...moved)) return 'refused'
        code = kafkaErrorName(error)
        if (!isRetryable(error)) throw unreachable(this.#membership.groupId, code)
      }
    }
    return 'refused'
  }

  async #request(topics: CommitTopics): Promise<void> {
    const { groupId, memberId, generationId } = this.#membership
    const connection = await coordinatorOf(this.#kafka, this.#client)
    const api = await findApi<CommitArguments, unknown>(this.#kafka, this.#client, 'OffsetCommit')
    await api.async(connection, groupId, generationId, memberId, null, topics)
  }
}

type CommitTopics = {
  name: string
  partitions: {
    partitionIndex: number
    committedOffset: bigint
    committedLeaderEpoch: number
    committedMetadata: null
  }[]
}[]
type CommitArguments = [string, number, string, null, CommitTopics]

function requestOf(batch: readonly NextOffset[]): CommitTopics {
  const topics = new Map<string, CommitTopics[number]>()
  for (const { topic, partition, offset } of batch) {
    let entry = topics.get(topic)
    if (entry === undefined) topics.set(topic, (entry = { name: topic, partitions: [] }))
    entry.partitions.push({
      partitionIndex: partition,
      committedOffset: offset,
      committedLeaderEpoch: -1,
      committedMetadata: null,
    })
  }
  return [...topics.values()]
}

function unreachable(group: string, code: string): WaybillError {
  return new WaybillError(
    'WB_BROKER_UNREACHABLE',
    `The positions of consumer "${group}" could not be committed (${code}); its messages are done and may come again.`,
    { retryable: 'yes' },
  )
}
