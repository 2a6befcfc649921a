import { randomUUID } from 'node:crypto'
import type { Consumer, GroupAssignment } from '@platformatic/kafka'
import { systemClock } from '../../kernel/clock.ts'
import { withDeadline } from '../../kernel/deadline.ts'
import { findApi } from './broker-api.ts'
import type { KafkaLibrary } from './client.ts'
import type { Membership } from './commits.ts'
import type { Coordinator } from './coordinator.ts'
import { Gate } from './gate.ts'
import { isRetryable } from './kafka-error.ts'
import type { GroupSession } from './group-session.ts'

type TopicPartitions = readonly { readonly topicId: string; readonly partitions: readonly number[] }[]
type HeartbeatArguments = [
  groupId: string,
  memberId: string,
  epoch: number,
  instanceId: null,
  rackId: null,
  rebalanceTimeoutMs: number,
  topics: readonly string[],
  topicRegex: null,
  assignor: null,
  owned: TopicPartitions,
]
interface HeartbeatResponse {
  readonly memberEpoch: number
  readonly heartbeatIntervalMs: number
  readonly assignment: { readonly topicPartitions: TopicPartitions } | null
}

export interface GroupMemberOptions {
  readonly kafka: KafkaLibrary
  readonly client: Consumer
  readonly coordinator: Coordinator
  readonly topics: readonly string[]
  /** How long the broker waits for partitions to be given back. */
  readonly rebalanceTimeoutMs: number
  readonly requestTimeoutMs: number
  /** Called when the assignment is about to change; the broker waits for this member meanwhile. Never rejects. */
  readonly onRevoking: () => Promise<void>
  /** Called with each assignment; when it returns, what was had before and is not in it is given back. */
  readonly onAssigned: (assigned: readonly GroupAssignment[]) => void
}

interface Share {
  readonly partitions: TopicPartitions
  readonly assigned: readonly GroupAssignment[]
}

const joining = 0
const leaving = -1
const pauseMs = 100
/** Where the broker could not be asked how often. */
const presetIntervalMs = 1000

/**
 * A member of a group with the `consumer` protocol (KIP-848): the broker shares the partitions out, and says so in its
 * answers to heartbeats. The library has such a member, too, but keeps its epoch to itself and changes its partitions while
 * a request is under way; a commit must carry the epoch that its partitions came with, or one that followed it.
 */
export class GroupMember implements Membership, GroupSession {
  readonly memberId: string = randomUUID()
  readonly outlastsAssignments = true
  readonly #options: GroupMemberOptions
  #epoch = joining
  #owned: TopicPartitions | undefined
  /** What it is to have once it has handed back what it has. */
  #next: Share | undefined
  #handBack: 'none' | 'begun' | 'done' = 'none'
  #intervalMs = presetIntervalMs
  /** When the last heartbeat left whose answer was taken in. */
  #beatAt = -Infinity
  #isOver = false
  readonly #hurry = new Gate()
  #beaten = Promise.withResolvers<void>()

  constructor(options: GroupMemberOptions) {
    this.#options = options
  }

  get groupId(): string {
    return this.#options.coordinator.groupId
  }

  get generationId(): number {
    return this.#epoch
  }

  /**
   * Belongs to the group until the signal aborts; then `leave`. Rejects when the broker no longer counts it among its
   * members. Without an answer it stays one: only the broker knows whether the session is over.
   */
  async belong(signal: AbortSignal): Promise<void> {
    const { requestTimeoutMs, coordinator } = this.#options
    try {
      while (!signal.aborted) {
        try {
          this.#change()
          const leftAt = systemClock.now()
          const answer = await withDeadline(this.#beat(this.#epoch), requestTimeoutMs, 'A heartbeat', signal)
          await this.#accept(answer, signal)
          this.#beatAt = leftAt
          this.#tell()
          await this.#hurry.wait(this.#intervalMs, signal)
        } catch (error) {
          coordinator.judge(error)
          if (signal.aborted) return
          if (!isRetryable(error)) throw error
          await systemClock.sleep(pauseMs, signal)
        }
      }
    } finally {
      this.#isOver = true
      this.#tell()
    }
  }

  /** No session is shorter than the time between heartbeats that the broker asks for. */
  async lasts(signal: AbortSignal): Promise<boolean> {
    const until = systemClock.now() + this.#options.requestTimeoutMs
    while (!this.#isFresh && !this.#isOver && !signal.aborted) {
      const leftMs = until - systemClock.now()
      if (leftMs <= 0) return false
      this.#hurry.open()
      await withDeadline(this.#beaten.promise, leftMs, 'A heartbeat', signal).catch(() => {})
    }
    return !this.#isOver && !signal.aborted
  }

  get #isFresh(): boolean {
    return systemClock.now() - this.#beatAt < this.#intervalMs
  }

  #tell(): void {
    this.#beaten.resolve()
    this.#beaten = Promise.withResolvers()
  }

  /** Tries until the broker has answered: a member that it does not miss keeps its partitions for the whole session. */
  async leave(signal: AbortSignal): Promise<void> {
    const { requestTimeoutMs, coordinator } = this.#options
    this.#owned = undefined
    for (; !signal.aborted; await systemClock.sleep(pauseMs, signal)) {
      try {
        return void (await withDeadline(this.#beat(leaving), requestTimeoutMs, 'Leaving a group', signal))
      } catch (error) {
        coordinator.judge(error)
        if (!isRetryable(error)) return
      }
    }
  }

  async #beat(epoch: number): Promise<HeartbeatResponse> {
    const { kafka, client, coordinator, topics, rebalanceTimeoutMs } = this.#options
    const connection = await coordinator.connection()
    const name = 'ConsumerGroupHeartbeat'
    const api = await findApi<HeartbeatArguments, HeartbeatResponse>(kafka, client, name)
    const { groupId, memberId } = this
    const owned = this.#owned ?? []
    const rest = [rebalanceTimeoutMs, topics, null, null, owned] as const
    return api.async(connection, groupId, memberId, epoch, null, null, ...rest)
  }

  /** An assignment that differs from the one before is taken over by {@link #change}, once that is handed back. */
  async #accept(answer: HeartbeatResponse, signal: AbortSignal): Promise<void> {
    const { memberEpoch, heartbeatIntervalMs, assignment } = answer
    if (heartbeatIntervalMs > 0) this.#intervalMs = heartbeatIntervalMs
    const partitions = assignment?.topicPartitions
    const last = this.#next?.partitions ?? this.#owned
    if (partitions !== undefined && (last === undefined || textOf(partitions) !== textOf(last))) {
      const assigned = await this.#name(partitions)
      if (signal.aborted) return
      this.#next = { partitions, assigned }
    }
    // Another epoch comes only with partitions that are added (KIP-848): what is taken away stays this member's, under the epoch it had,
    // until a heartbeat gives it back. Until then heartbeats own it still, so that the session lasts.
    this.#epoch = memberEpoch
    if (this.#next === undefined || this.#handBack !== 'none') return
    this.#handBack = 'begun'
    void this.#options.onRevoking().then(() => {
      this.#handBack = 'done'
      // Others wait for it.
      this.#hurry.open()
    })
  }

  #change(): void {
    if (this.#next === undefined || this.#handBack !== 'done') return
    const { partitions, assigned } = this.#next
    this.#next = undefined
    this.#handBack = 'none'
    this.#owned = partitions
    this.#options.onAssigned(assigned)
  }

  async #name(partitions: TopicPartitions): Promise<GroupAssignment[]> {
    const { kafka, client, topics } = this.#options
    const metadata = await client.metadata({ topics: [...topics], forceUpdate: true })
    const names = new Map([...metadata.topics].map(([topic, { id }]) => [id, topic]))
    return partitions.map(({ topicId, partitions: numbers }) => {
      const topic = names.get(topicId)
      if (topic === undefined) throw new kafka.NetworkError('A topic that was assigned is not known yet.')
      return { topic, partitions: [...numbers] }
    })
  }
}

function textOf(partitions: TopicPartitions): string {
  return partitions
    .map(({ topicId, partitions: numbers }) => `${topicId}:${numbers.toSorted((a, b) => a - b).join()}`)
    .toSorted()
    .join(';')
}
