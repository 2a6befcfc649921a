import type { Consumer } from '@platformatic/kafka'
import { systemClock } from '../../kernel/clock.ts'
import { withDeadline } from '../../kernel/deadline.ts'
import { WaybillError } from '../../kernel/errors.ts'
import { findApi } from './broker-api.ts'
import type { KafkaLibrary } from './client.ts'
import {
  done,
  moved,
  topicsOf,
  type CommitArguments,
  type CommitResponse,
  type NextOffset,
} from './commit-request.ts'
import type { Coordinator } from './coordinator.ts'
import { hasKafkaError, isRetryable, kafkaErrorName, responseIn } from './kafka-error.ts'
import { streamName } from './record.ts'

/** Who commits. The broker refuses what is committed in the name of an older one. */
export interface Membership {
  readonly memberId: string
  /** The generation of the assignment; with the `consumer` protocol the member's epoch, which grows while it lasts. */
  readonly generationId: number
  /** Whether what was sent under one assignment is still valid under the next: with the `consumer` protocol it is. */
  readonly outlastsAssignments: boolean
}

export interface CommitsOptions {
  readonly kafka: KafkaLibrary
  readonly client: Consumer
  readonly coordinator: Coordinator
  readonly membership: Membership
  readonly timeoutMs: number
  /**
   * A commit left and was not answered: the broker may still carry it out, after one that says more, and so move the
   * position back. It cannot in the name of a membership that is over; so this one has to end.
   */
  readonly onDoubt: () => void
}

/** Streams whose position was taken. Of the others the assignment is over: whoever has them now decides. */
export type Taken = ReadonlySet<string>

const pauseMs = 100
/**
 * Commits of one assignment. The library's own `commit` speaks in the name of whatever generation it is in when the
 * request leaves, and after a refusal joins again and commits the old position into the new generation, where the partition
 * may be another member's. Here a commit carries the membership its deliveries came in, and a refusal is final.
 */
export class Commits {
  readonly #options: CommitsOptions
  /** By stream: what was taken already. A lower position is done with it, and must not follow it. */
  readonly #reached = new Map<string, bigint>()
  #waiting = new Map<string, NextOffset>()
  #running: Promise<Taken> = Promise.resolve(new Set<string>())
  #next: Promise<Taken> | undefined
  #isInDoubt = false
  #inFlight: Promise<void> = Promise.resolve()

  constructor(options: CommitsOptions) {
    this.#options = options
  }

  /**
   * One request at a time: of two that overlap the lower could land last. Rejects with `WB_BROKER_UNREACHABLE` where no
   * answer came in time.
   */
  commit(offsets: readonly NextOffset[], signal: AbortSignal): Promise<Taken> {
    for (const next of offsets) {
      const stream = streamName(next.topic, next.partition)
      if ((this.#waiting.get(stream)?.offset ?? -1n) < next.offset) this.#waiting.set(stream, next)
    }
    this.#next ??= this.#running
      .catch(() => {})
      .then(() => {
        const batch = this.#waiting
        this.#waiting = new Map()
        this.#next = undefined
        this.#running = this.#send(batch, signal)
        return this.#running
      })
    return this.#next
  }

  /** Resolves when nothing of these commits is on its way any more. Never rejects. */
  get landed(): Promise<void> {
    return this.#inFlight
  }

  async #send(left: Map<string, NextOffset>, signal: AbortSignal): Promise<Taken> {
    const { coordinator, timeoutMs } = this.#options
    const taken = new Set<string>()
    for (const [stream, { offset }] of left) {
      if (offset > (this.#reached.get(stream) ?? -1n)) continue
      taken.add(stream)
      left.delete(stream)
    }
    // What is behind one in doubt could be undone by it, so it is not said to be taken.
    if (this.#isInDoubt) return taken
    const until = systemClock.now() + timeoutMs
    let code = 'WB_TIMED_OUT'
    for (; left.size > 0 && !signal.aborted; await systemClock.sleep(pauseMs, signal)) {
      const leftMs = until - systemClock.now()
      if (leftMs <= 0) throw unreachable(coordinator.groupId, code)
      const attempt: Attempt = { state: 'waiting' }
      try {
        // Not given up where the assignment ends meanwhile: what has left may be carried out, and "not taken" would be a guess.
        const answer = await withDeadline(this.#request(left, attempt, signal), leftMs, 'A commit')
        this.#judge(answer, left, taken)
        if (left.size === 0) return taken
      } catch (error) {
        code = kafkaErrorName(error)
        coordinator.judge(error)
        const answer = responseIn(error) as CommitResponse | undefined
        if (answer !== undefined) this.#judge(answer, left, taken)
        else if (attempt.state === 'left' && !signal.aborted) this.#doubt()
        const isOpen = answer === undefined && attempt.state === 'left'
        attempt.state = 'over'
        if (left.size === 0) return taken
        if (signal.aborted) {
          if (isOpen) throw unreachable(coordinator.groupId, code)
          return taken
        }
        // The epoch moves on while the assignment stays; the answer that tells the next one is on its way.
        if (hasKafkaError(error, 'STALE_MEMBER_EPOCH')) continue
        if (this.#isInDoubt || !isRetryable(error)) throw unreachable(coordinator.groupId, code)
      }
    }
    return taken
  }

  /** Leaves in `left` what may be tried again. */
  #judge({ topics }: CommitResponse, left: Map<string, NextOffset>, taken: Set<string>): void {
    for (const { name, partitions } of topics) {
      for (const { partitionIndex, errorCode } of partitions) {
        const stream = streamName(name, partitionIndex)
        const next = left.get(stream)
        if (next === undefined || (errorCode !== done && !moved.has(errorCode))) continue
        left.delete(stream)
        if (errorCode !== done) continue
        taken.add(stream)
        this.#reached.set(stream, next.offset)
      }
    }
  }

  #doubt(): void {
    if (this.#isInDoubt) return
    this.#isInDoubt = true
    this.#options.onDoubt()
  }

  async #request(
    left: ReadonlyMap<string, NextOffset>,
    attempt: Attempt,
    signal: AbortSignal,
  ): Promise<CommitResponse> {
    const { kafka, client, coordinator, membership } = this.#options
    const connection = await coordinator.connection()
    const api = await findApi<CommitArguments, CommitResponse>(kafka, client, 'OffsetCommit')
    // The epoch is read as the request leaves: it must not be one from after the end of the assignment. And who asked for
    // this may have been told that there was no answer.
    signal.throwIfAborted()
    if (attempt.state === 'over') throw new kafka.NetworkError('It took too long to reach the coordinator.')
    const { memberId, generationId } = membership
    attempt.state = 'left'
    const topics = topicsOf(left.values())
    const request = api.async(connection, coordinator.groupId, generationId, memberId, null, topics)
    this.#inFlight = request.then(
      () => {},
      (error: unknown) => {
        // Nobody waits for it any more where its assignment ended meanwhile, but the next one has to know.
        if (membership.outlastsAssignments && responseIn(error) === undefined) this.#doubt()
      },
    )
    return request
  }
}

interface Attempt {
  state: 'waiting' | 'left' | 'over'
}

function unreachable(group: string, code: string): WaybillError {
  return new WaybillError(
    'WB_BROKER_UNREACHABLE',
    `The positions of consumer "${group}" could not be committed (${code}); its messages are done and may come again.`,
    { retryable: 'yes' },
  )
}
