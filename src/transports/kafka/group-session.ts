import type { Consumer } from '@platformatic/kafka'
import { systemClock } from '../../kernel/clock.ts'
import { withDeadline } from '../../kernel/deadline.ts'
import { findApi } from './broker-api.ts'
import type { AssignmentOptions } from './assignment.ts'
import { hasKafkaError, responseIn } from './kafka-error.ts'

/** What tells whether a member is one still: a process that was stopped has not heard that its session is over. */
export interface GroupSession {
  /**
   * Whether the broker counts it as a member, by an answer to a heartbeat that left so lately that the session cannot have
   * ended since. Where there is none a heartbeat is sent. `false` also where none is answered in time, or the signal aborts.
   */
  lasts(signal: AbortSignal): Promise<boolean>
}

type HeartbeatArguments = [groupId: string, generationId: number, memberId: string, instanceId: null]

interface ClassicSessionOptions extends Pick<
  AssignmentOptions,
  'kafka' | 'settings' | 'client' | 'coordinator' | 'membership'
> {
  readonly beats: Beats
}

const pauseMs = 100

/** When the last heartbeat left that the library sent and the broker took: no rebalance had begun by then. */
export class Beats {
  takenAt: number = -Infinity

  constructor(client: Consumer) {
    let leftAt = -Infinity
    client.on('consumer:heartbeat:start', () => {
      leftAt = systemClock.now()
    })
    client.on('consumer:heartbeat:end', () => {
      this.takenAt = leftAt
    })
  }
}

/** For the `classic` protocol, whose heartbeats the library sends. Where they stay away for long it sends one of its own. */
export class ClassicSession implements GroupSession {
  readonly #options: ClassicSessionOptions
  #asking: Promise<void> | undefined

  constructor(options: ClassicSessionOptions) {
    this.#options = options
  }

  async lasts(signal: AbortSignal): Promise<boolean> {
    if (!this.#isFresh) {
      this.#asking ??= this.#ask(signal).finally(() => {
        this.#asking = undefined
      })
      await this.#asking
    }
    return this.#isFresh && !signal.aborted
  }

  get #isFresh(): boolean {
    return systemClock.now() - this.#options.beats.takenAt < this.#options.settings.sessionTimeoutMs / 2
  }

  /** Until the broker has answered, or the time for a request is over. */
  async #ask(signal: AbortSignal): Promise<void> {
    const { settings, coordinator, beats } = this.#options
    const until = systemClock.now() + settings.requestTimeoutMs
    for (; !signal.aborted; await systemClock.sleep(pauseMs, signal)) {
      const leftAt = systemClock.now()
      if (leftAt >= until) return
      try {
        await withDeadline(this.#beat(), until - leftAt, 'A heartbeat', signal)
        beats.takenAt = Math.max(beats.takenAt, leftAt)
        // Stopped while it was on its way: the answer is too old.
        if (this.#isFresh) return
      } catch (error) {
        coordinator.judge(error)
        // Whatever else the broker says, REBALANCE_IN_PROGRESS too: it waits no longer than a session, and began before now.
        if (responseIn(error) !== undefined && !hasKafkaError(error, ...elsewhere)) return
      }
    }
  }

  async #beat(): Promise<void> {
    const { kafka, client, coordinator, membership } = this.#options
    const { generationId, memberId } = membership
    const connection = await coordinator.connection()
    const api = await findApi<HeartbeatArguments, unknown>(kafka, client, 'Heartbeat')
    await api.async(connection, coordinator.groupId, generationId, memberId, null)
  }
}

/** Another broker answers for the group now, or will. */
const elsewhere = ['NOT_COORDINATOR', 'COORDINATOR_NOT_AVAILABLE', 'COORDINATOR_LOAD_IN_PROGRESS']
