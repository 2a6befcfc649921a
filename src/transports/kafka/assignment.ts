import type { Consumer, GroupAssignment } from '@platformatic/kafka'
import { systemClock, systemRandom } from '../../kernel/clock.ts'
import type { Logger } from '../../kernel/logger.ts'
import { backoffMs } from '../../kernel/retry.ts'
import type { CommitResult, Delivery, OutboundMessage, SubscribeRequest } from '../../ports/transport.ts'
import type { FetchResponse, KafkaLibrary } from './client.ts'
import { Commits, type Membership, type Taken } from './commits.ts'
import type { Coordinator } from './coordinator.ts'
import { planFetches, type FetchPlan } from './fetch-plan.ts'
import { Fetcher } from './fetcher.ts'
import { Gate } from './gate.ts'
import { Inflow } from './inflow.ts'
import { kafkaErrorName, responseIn } from './kafka-error.ts'
import type { KafkaSettings } from './options.ts'
import { Positions } from './positions.ts'
import type { GroupSession } from './group-session.ts'
import { streamName } from './record.ts'
import { findStarts } from './starts.ts'
import { addPositions } from './transaction-positions.ts'
import type { TransformWriter } from './transform-writer.ts'

export interface AssignmentOptions {
  readonly kafka: KafkaLibrary
  readonly settings: KafkaSettings
  readonly logger: Logger
  readonly client: Consumer
  readonly coordinator: Coordinator
  readonly membership: Membership
  readonly session: GroupSession
  readonly assigned: readonly GroupAssignment[]
  /** All topics of the subscription: their partitions are watched, also where none of them is ours. */
  readonly topics: readonly string[]
  /** Channels expected at a topic. */
  readonly channels: ReadonlyMap<string, readonly string[]>
  readonly number: number
  readonly startAt: SubscribeRequest['startAt'] | undefined
  /** Something can be received. */
  readonly onArrival: () => void
  /** Positions are read when this has resolved: commits of the assignment before, which could still move them, are over. */
  readonly after: Promise<void>
  /** It has to end, and the membership with it. */
  readonly onLost: (why: Error) => void
  /** A commit was not answered (`CommitsOptions.onDoubt`). */
  readonly onDoubt: () => void
}

/** How often partitions are counted where nothing else happens. */
const watchMs = 5000
const trouble = { initialMs: 100, maxMs: 2000 }

/**
 * What the group gave this member to read, until it is given anew: positions, connections and buffer are its own and end
 * with it. The library's stream lives on over assignments, with what it had buffered and with the offsets of fetches that
 * were under way; it reads on from there, past messages that were never settled.
 */
export class Assignment {
  readonly number: number
  readonly streams: readonly string[]
  readonly #options: AssignmentOptions
  readonly #positions: Positions
  readonly #commits: Commits
  readonly #inflow = new Inflow()
  readonly #change = new Gate()
  readonly #end = new AbortController()
  readonly #fetcher: Fetcher
  readonly #busy = new Set<number>()
  #isReceding = false
  #isPaused = false
  #isInDoubt = false
  #failures = 0

  constructor(options: AssignmentOptions) {
    const { kafka, settings, client, coordinator, membership, assigned, channels, number, onDoubt } = options
    this.#options = options
    this.number = number
    this.streams = assigned.flatMap(({ topic, partitions }) => partitions.map((p) => streamName(topic, p)))
    this.#positions = new Positions(client, channels, number)
    const timeoutMs = settings.requestTimeoutMs
    this.#commits = new Commits({ kafka, client, coordinator, membership, timeoutMs, onDoubt })
    this.#fetcher = new Fetcher(kafka, client, settings)
  }

  /** Fetches until `end`. Never rejects. */
  async run(): Promise<void> {
    const { signal } = this.#end
    const found = await this.#locate()
    while (!signal.aborted) {
      try {
        const plan = planFetches(await this.#metadata(), this.#positions, this.#busy)
        // Not those that the group shared out, or not those whose positions were found.
        if (plan.topics !== found)
          this.#options.onLost(new Error('A topic has new partitions, or was made anew.'))
        else if (this.#inflow.hasRoom && !this.#isReceding) this.#start(plan)
        await this.#change.wait(watchMs, signal)
      } catch (error) {
        await this.#recover(error, 'could not fetch from Kafka; trying again')
      }
    }
  }

  /** Resolves with the topics as they were. */
  async #locate(): Promise<string | undefined> {
    const { kafka, client, coordinator, assigned, startAt, after } = this.#options
    const { signal } = this.#end
    await after
    while (!signal.aborted) {
      try {
        const metadata = await this.#metadata(true)
        const options = { kafka, client, coordinator, assigned, startAt }
        this.#positions.start(await findStarts(options, metadata, signal))
        return planFetches(metadata, this.#positions, this.#busy).topics
      } catch (error) {
        await this.#recover(error, 'could not tell where to start reading Kafka; trying again')
      }
    }
    return undefined
  }

  take(most: number): Delivery[] {
    if (this.#isReceding || this.#end.signal.aborted) return []
    const hadRoom = this.#inflow.hasRoom
    const taken = this.#inflow.take(most)
    if (!hadRoom && this.#inflow.hasRoom) this.#change.open()
    return taken
  }

  /** The group is to be shared out anew, and waits for this member: nothing new is handed out. */
  recede(): void {
    this.#isReceding = true
  }

  /** The group is being shared out anew: what is in hand may still be settled, but may be another's before this member hears so. */
  pause(): void {
    this.#isReceding = true
    this.#isPaused = true
  }

  settle(positions: readonly Pick<Delivery, 'stream' | 'position'>[]): Promise<Taken> {
    return this.#commits.commit(this.#positions.toCommit(positions), this.#end.signal)
  }

  /** Not while the group is being shared out anew: another may have it before this member hears so. */
  async stillHolds(): Promise<boolean> {
    const { signal } = this.#end
    return (
      !this.#isPaused && (await this.#options.session.lasts(signal)) && !this.#isPaused && !signal.aborted
    )
  }

  /**
   * As `settle`, in a transaction with outputs. One whose outcome is not known ends the assignment: what it has handled could
   * otherwise be handled again.
   */
  async transact(
    writer: TransformWriter,
    positions: readonly Pick<Delivery, 'stream' | 'position'>[],
    outputs: readonly OutboundMessage[],
    timeoutMs: number,
  ): Promise<CommitResult> {
    const isOver = (): boolean => this.#isInDoubt || this.#end.signal.aborted
    const offsets = this.#positions.toCommit(positions)
    if (offsets.length < positions.length) return { outcome: 'refused' }
    const add = addPositions(this.#options, offsets)
    const result = await writer.commit({ isOver, add }, outputs, timeoutMs)
    if (result.outcome === 'unknown') {
      this.#isInDoubt = true
      this.#options.onDoubt()
    }
    return result
  }

  /** Resolves when no commit of it is on its way any more. */
  end(): Promise<void> {
    this.#end.abort()
    this.#fetcher.close()
    return this.#commits.landed
  }

  #metadata(forceUpdate = false): ReturnType<Consumer['metadata']> {
    return this.#options.client.metadata({ topics: [...this.#options.topics], forceUpdate })
  }

  #start(plan: FetchPlan): void {
    for (const fetch of plan.fetches) {
      this.#busy.add(fetch.node)
      void this.#fetch(fetch)
    }
  }

  async #fetch({ node, broker, topics, names }: FetchPlan['fetches'][number]): Promise<void> {
    try {
      this.#accept((await this.#fetcher.fetch(broker, topics)).responses, names)
      this.#failures = 0
    } catch (error) {
      // One partition that is in trouble makes an error of the whole answer; what came of the others is taken.
      const response = responseIn(error) as Partial<FetchResponse> | undefined
      this.#accept(response?.responses ?? [], names)
      const isReset = await this.#positions
        .resetWhereGone(error, names, this.#options.logger)
        .catch(() => false)
      if (!isReset) await this.#recover(error, 'could not fetch from Kafka; trying again')
    }
    this.#busy.delete(node)
    this.#change.open()
  }

  #accept(topics: FetchResponse['responses'], names: ReadonlyMap<string, string>): void {
    if (this.#end.signal.aborted) return
    for (const delivery of this.#positions.accept(topics, names)) this.#inflow.push(delivery)
    if (this.#inflow.size > 0) this.#options.onArrival()
  }

  async #recover(error: unknown, what: string): Promise<void> {
    const { signal } = this.#end
    if (signal.aborted) return
    this.#failures += 1
    const { client, coordinator, logger } = this.#options
    const fields = { consumer: coordinator.groupId, error: kafkaErrorName(error), failures: this.#failures }
    logger.warn(fields, what)
    // Where its leader went, or that the topic was made anew, is learned by asking again.
    client.clearMetadata()
    await systemClock.sleep(backoffMs(this.#failures, trouble, systemRandom), signal)
  }
}
