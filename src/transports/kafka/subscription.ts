import type { Consumer } from '@platformatic/kafka'
import { systemClock, systemRandom } from '../../kernel/clock.ts'
import { withDeadline } from '../../kernel/deadline.ts'
import type { Logger } from '../../kernel/logger.ts'
import { backoffMs } from '../../kernel/retry.ts'
import type {
  CommitResult,
  Delivery,
  OutboundMessage,
  SettledPosition,
  SubscribeRequest,
  Subscription,
} from '../../ports/transport.ts'
import { Assignment, type AssignmentOptions } from './assignment.ts'
import type { KafkaLibrary } from './client.ts'
import type { Membership } from './commits.ts'
import { Coordinator } from './coordinator.ts'
import { Gate } from './gate.ts'
import { groupClient } from './group-client.ts'
import { GroupMember } from './group-member.ts'
import { kafkaErrorName } from './kafka-error.ts'
import { leaveGroup } from './leave-group.ts'
import type { KafkaSettings } from './options.ts'
import { Beats, ClassicSession } from './group-session.ts'
import type { TopicDesk } from './topic-desk.ts'
import type { TransformWriter } from './transform-writer.ts'

export interface SubscriptionOptions {
  readonly kafka: KafkaLibrary
  readonly settings: KafkaSettings
  readonly applicationName: string
  readonly logger: Logger
  readonly topics: TopicDesk
  readonly request: SubscribeRequest
  /** Where the request `transforms`. */
  readonly writer: TransformWriter | undefined
}

const trouble = { initialMs: 100, maxMs: 2000 }
const closeMs = 3000

/**
 * A member of a consumer group. It belongs to the group for as long as it can, and when it cannot (a failed rejoin, a wrong
 * answer, heartbeats that stay away) it starts over as a new member, for ever (I8).
 */
export class KafkaSubscription implements Subscription {
  readonly commit?: NonNullable<Subscription['commit']>
  readonly #options: SubscriptionOptions
  readonly #channels = new Map<string, string[]>()
  readonly #arrival = new Gate()
  readonly #closed = new AbortController()
  readonly #ended: Promise<void>
  #assignment: Assignment | undefined
  #assignments = 0
  #handBack: Promise<void> | undefined
  /** A JoinGroup may be under way, which is answered when all members have joined. */
  #isJoining = false
  #failures = 0

  constructor(options: SubscriptionOptions) {
    this.#options = options
    for (const { channel, address } of options.request.channels) {
      const channels = this.#channels.get(address)
      if (channels === undefined) this.#channels.set(address, [channel])
      else channels.push(channel)
    }
    const { writer } = options
    if (writer !== undefined) this.commit = (...call) => this.#transact(writer, ...call)
    this.#ended = this.#keepBelonging()
  }

  get isMember(): boolean {
    return this.#assignment !== undefined
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

  async stillHolds({ assignment }: SettledPosition): Promise<boolean> {
    const current = this.#assignment
    return current?.number === assignment && (await current.stillHolds())
  }

  async close(): Promise<void> {
    this.#closed.abort()
    await this.#ended
    await this.#options.writer?.close()
  }

  async #transact(
    writer: TransformWriter,
    positions: readonly SettledPosition[],
    outputs: readonly OutboundMessage[],
    timeoutMs: number,
  ): Promise<CommitResult> {
    const assignment = this.#assignment
    const isOurs = positions.every((position) => position.assignment === assignment?.number)
    if (assignment === undefined || !isOurs) return { outcome: 'refused' }
    return assignment.transact(writer, positions, outputs, timeoutMs)
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
    const client = groupClient(kafka, settings, applicationName, request.consumer, () => this.#beforeJoin())
    const coordinator = new Coordinator(kafka, client, request.consumer)
    const { promise: lost, reject: lose, resolve } = Promise.withResolvers<void>()
    // It may be rejected when nobody waits any more.
    lost.catch(() => {})
    const onClosed = (): void => resolve()
    this.#closed.signal.addEventListener('abort', onClosed, { once: true })
    client.on('error' as never, lose as never)
    const group: Group = { client, coordinator, lost, lose }
    try {
      if (!(await this.#findTopics(client))) return
      if (settings.groupProtocol === 'classic') await this.#belongClassically(group)
      else await this.#belongAsMember(group)
    } finally {
      // It joins anew for as long as it lives: a listener that stayed would keep each client it ever had.
      this.#closed.signal.removeEventListener('abort', onClosed)
      void this.#end()
      const { memberId } = client
      if (this.#isJoining && memberId) {
        const left = leaveGroup(kafka, settings, applicationName, request.consumer, memberId)
        await withDeadline(left, closeMs, 'Leaving a group').catch(() => {})
      }
      this.#isJoining = false
      await withDeadline(client.close(true), closeMs, 'Leaving a group').catch(() => {})
    }
  }

  async #belongClassically({ client, coordinator, lost, lose }: Group): Promise<void> {
    client.on('consumer:heartbeat:stalled', ({ lastError }) => lose(lastError ?? new Error('No heartbeats.')))
    client.on('consumer:group:rebalance', () => void this.#giveBack())
    const beats = new Beats(client)
    client.on('consumer:group:join', ({ memberId, generationId = -1, assignments = [] }) => {
      this.#isJoining = false
      const membership: Membership = { memberId, generationId, outlastsAssignments: false }
      // Joining again is enough to be in another generation, and the place in the group is kept.
      const onDoubt = (): void => {
        this.#assignment?.pause()
        client.joinGroup({}).catch(lose)
      }
      const { kafka, settings } = this.#options
      const session = new ClassicSession({ kafka, settings, client, coordinator, membership, beats })
      this.#begin({ client, coordinator, membership, session, assigned: assignments, onLost: lose, onDoubt })
    })
    await Promise.race([client.joinGroup({}), lost])
    await lost
  }

  async #belongAsMember({ client, coordinator, lost, lose }: Group): Promise<void> {
    const { kafka, settings } = this.#options
    const { sessionTimeoutMs: rebalanceTimeoutMs, requestTimeoutMs } = settings
    const topics = [...this.#channels.keys()]
    const over = new AbortController()
    const member = new GroupMember({
      ...{ kafka, client, coordinator, topics, rebalanceTimeoutMs, requestTimeoutMs },
      onRevoking: () => this.#giveBack(),
      onAssigned: (assigned) => {
        const onDoubt = (): void => lose(new Error('A commit was not answered.'))
        const share = { client, coordinator, membership: member, session: member, assigned }
        this.#begin({ ...share, onLost: lose, onDoubt })
      },
    })
    const belonging = member.belong(over.signal)
    try {
      await Promise.race([belonging, lost])
    } finally {
      void this.#end()
      over.abort()
      await belonging.catch(() => {})
      // Whatever it takes: a member that stays keeps partitions, and what is in doubt is valid as long as it stays.
      const limit = this.#closed.signal.aborted ? AbortSignal.timeout(closeMs) : this.#closed.signal
      await member.leave(limit)
    }
  }

  /** `false`: closed meanwhile. */
  async #findTopics(client: Consumer): Promise<boolean> {
    const { topics, logger, request } = this.#options
    for (const topic of this.#channels.keys()) {
      const state = await topics.find(client, topic, this.#closed.signal, (code) => {
        logger.debug({ consumer: request.consumer, topic, error: code }, 'looking for a Kafka topic')
      })
      if (state === undefined) return false
      if ('code' in state) throw Object.assign(new Error(state.reason), { code: state.code })
      client.topics.track(topic)
    }
    return true
  }

  /** Where nothing is handed back its membership is over, or in doubt: what it has may be another's, who may be long about handing back. */
  async #beforeJoin(): Promise<void> {
    if (this.#handBack === undefined) void this.#end()
    else await this.#handBack
    this.#isJoining = true
  }

  /**
   * Lets what is under way end and be settled, before this member says that its partitions can be given to others. No longer than for half a
   * session: with the `classic` protocol it sends no heartbeat meanwhile, and a member that is not heard is not waited for.
   */
  #giveBack(): Promise<void> {
    const assignment = this.#assignment
    if (assignment === undefined) return Promise.resolve()
    this.#handBack ??= this.#settleUnderWay(assignment).then(() => assignment.pause())
    return this.#handBack
  }

  async #settleUnderWay(assignment: Assignment): Promise<void> {
    assignment.recede()
    const { request, settings, logger } = this.#options
    const { streams } = assignment
    if (request.onRevoking === undefined || streams.length === 0) return
    try {
      const settled = request.onRevoking(streams)
      await withDeadline(settled, settings.sessionTimeoutMs / 2, 'What is under way', this.#closed.signal)
    } catch {
      if (this.#closed.signal.aborted) return
      const fields = { consumer: request.consumer, streams: streams.length }
      logger.warn(fields, 'a Kafka group is shared out anew before all is settled: messages may come again')
    }
  }

  #begin(share: Share): void {
    if (this.#closed.signal.aborted) return
    const { kafka, settings, logger, request } = this.#options
    const landed = this.#end()
    this.#failures = 0
    const assignment = new Assignment({
      ...share,
      kafka,
      settings,
      logger,
      topics: [...this.#channels.keys()],
      channels: this.#channels,
      number: ++this.#assignments,
      startAt: request.startAt,
      after: share.membership.outlastsAssignments ? landed : Promise.resolve(),
      onArrival: () => this.#arrival.open(),
    })
    this.#assignment = assignment
    logger.info(
      { consumer: request.consumer, streams: assignment.streams.length },
      'got its share of a Kafka group',
    )
    void assignment.run()
  }

  async #end(): Promise<void> {
    const assignment = this.#assignment
    this.#assignment = undefined
    this.#handBack = undefined
    if (assignment === undefined) return
    const landed = assignment.end()
    if (assignment.streams.length > 0) this.#options.request.onRevoked(assignment.streams)
    await landed
  }
}

interface Group {
  readonly client: Consumer
  readonly coordinator: Coordinator
  /** Resolves when the subscription closes, and rejects with what `lose` was told. */
  readonly lost: Promise<void>
  readonly lose: (why: Error) => void
}

type Share = Pick<
  AssignmentOptions,
  'client' | 'coordinator' | 'membership' | 'session' | 'assigned' | 'onLost' | 'onDoubt'
>
