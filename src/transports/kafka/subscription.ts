import type { Consumer, ConsumerGroupJoinPayload } from '@platformatic/kafka'
import { systemClock, systemRandom } from '../../kernel/clock.ts'
import { withDeadline } from '../../kernel/deadline.ts'
import type { Logger } from '../../kernel/logger.ts'
import { backoffMs } from '../../kernel/retry.ts'
import type { Delivery, SubscribeRequest, SettledPosition, Subscription } from '../../ports/transport.ts'
import { Assignment } from './assignment.ts'
import { clientOptions, type KafkaLibrary } from './client.ts'
import { Gate } from './gate.ts'
import { kafkaErrorName } from './kafka-error.ts'
import type { KafkaSettings } from './options.ts'
import type { TopicDesk } from './topic-desk.ts'

export interface SubscriptionOptions {
  readonly kafka: KafkaLibrary
  readonly settings: KafkaSettings
  readonly applicationName: string
  readonly logger: Logger
  readonly topics: TopicDesk
  readonly request: SubscribeRequest
}

const trouble = { initialMs: 100, maxMs: 2000 }
const closeMs = 3000

/**
 * A member of a consumer group. It belongs to the group for as long as it can, and when it cannot (a failed rejoin, a wrong
 * answer, heartbeats that stay away) it starts over as a new member, for ever (I8).
 */
export class KafkaSubscription implements Subscription {
  readonly #options: SubscriptionOptions
  readonly #channels = new Map<string, string[]>()
  readonly #arrival = new Gate()
  readonly #closed = new AbortController()
  readonly #ended: Promise<void>
  #assignment: Assignment | undefined
  #assignments = 0
  #failures = 0

  constructor(options: SubscriptionOptions) {
    this.#options = options
    for (const { channel, address } of options.request.channels) {
      const channels = this.#channels.get(address)
      if (channels === undefined) this.#channels.set(address, [channel])
      else channels.push(channel)
    }
    this.#ended = this.#keepBelonging()
  }

  async receive(most: number, signal: AbortSignal): Promise<readonly Delivery[]> {
    const closed = this.#closed.signal
    while (!signal.aborted && !closed.aborted) {
      const taken = this.#assignment?.take(most) ?? []
      if (taken.length > 0) return taken
      await this.#arrival.wait(60_000, signal, closed)
    }
    return []
  }

  async settle(positions: readonly SettledPosition[]): Promise<readonly boolean[]> {
    const assignment = this.#assignment
    const ours = positions.filter((position) => position.assignment === assignment?.number)
    if (assignment === undefined || ours.length === 0) return positions.map(() => false)
    const taken = await assignment.settle(ours)
    return positions.map(
      (position) => position.assignment === assignment.number && taken.has(position.stream),
    )
  }

  async close(): Promise<void> {
    this.#closed.abort()
    await this.#ended
  }

  async #keepBelonging(): Promise<void> {
    const { logger, request } = this.#options
    while (!this.#closed.signal.aborted) {
      try {
        await this.#belong()
      } catch (error) {
        if (this.#closed.signal.aborted) break
        this.#failures += 1
        const fields = { consumer: request.consumer, error: kafkaErrorName(error), failures: this.#failures }
        logger.warn(fields, 'not a member of its Kafka group; joining anew')
      }
      await systemClock.sleep(backoffMs(this.#failures, trouble, systemRandom), this.#closed.signal)
    }
  }

  /** One membership. Rejects when it is lost, resolves when the subscription closes. */
  async #belong(): Promise<void> {
    const { kafka, settings, applicationName, request } = this.#options
    const { sessionTimeoutMs, requestTimeoutMs } = settings
    const client = new kafka.Consumer({
      ...clientOptions(settings, applicationName),
      groupId: request.consumer,
      groupProtocol: 'classic',
      autocommit: false,
      sessionTimeout: sessionTimeoutMs,
      rebalanceTimeout: sessionTimeoutMs,
      heartbeatInterval: Math.min(1000, Math.floor(sessionTimeoutMs / 3)),
      heartbeatStallTimeout: 6 * sessionTimeoutMs,
      // A join is answered when all members have joined.
      requestTimeout: Math.max(requestTimeoutMs, sessionTimeoutMs + 5000),
      // Few: what fails for longer is tried again here, with a pause that grows.
      retries: 3,
      retryDelay: 200,
    })
    const { promise, reject, resolve } = Promise.withResolvers<void>()
    // It may be rejected when nobody waits any more.
    promise.catch(() => {})
    this.#closed.signal.addEventListener('abort', () => resolve(), { once: true })
    client.on('error' as never, reject as never)
    client.on('consumer:heartbeat:stalled', ({ lastError }) =>
      reject(lastError ?? new Error('No heartbeats.')),
    )
    client.on('consumer:group:rebalance', () => this.#assignment?.pause())
    client.on('consumer:group:join', (joined) => this.#begin(client, joined, reject))
    try {
      await Promise.race([this.#join(client), promise])
      await promise
    } finally {
      this.#end()
      await withDeadline(client.close(true), closeMs, 'Leaving a group').catch(() => {})
    }
  }

  async #join(client: Consumer): Promise<void> {
    const { topics, logger, request } = this.#options
    for (const topic of this.#channels.keys()) {
      const state = await topics.find(client, topic, this.#closed.signal, (code) => {
        logger.debug({ consumer: request.consumer, topic, error: code }, 'looking for a Kafka topic')
      })
      if (state === undefined) return
      if ('code' in state) throw Object.assign(new Error(state.reason), { code: state.code })
      client.topics.track(topic)
    }
    await client.joinGroup({})
  }

  #begin(client: Consumer, joined: ConsumerGroupJoinPayload, lose: (error: Error) => void): void {
    if (this.#closed.signal.aborted) return
    const { kafka, settings, logger, request } = this.#options
    this.#end()
    this.#failures = 0
    const { memberId, generationId = -1, assignments = [] } = joined
    const assignment = new Assignment({
      kafka,
      settings,
      logger,
      client,
      membership: { groupId: request.consumer, memberId, generationId },
      assigned: assignments,
      topics: [...this.#channels.keys()],
      channels: this.#channels,
      number: ++this.#assignments,
      startAt: request.startAt,
      onArrival: () => this.#arrival.open(),
      onLost: lose,
    })
    this.#assignment = assignment
    logger.info(
      { consumer: request.consumer, streams: assignment.streams.length },
      'got its share of a Kafka group',
    )
    void assignment.run()
  }

  #end(): void {
    const assignment = this.#assignment
    this.#assignment = undefined
    if (assignment === undefined) return
    assignment.end()
    if (assignment.streams.length > 0) this.#options.request.onRevoked(assignment.streams)
  }
}
