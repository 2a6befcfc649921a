import type { API, Broker, Connection, Producer } from '@platformatic/kafka'
import { systemClock } from '../../kernel/clock.ts'
import { clientOptions, type KafkaLibrary } from './client.ts'
import type { KafkaSettings } from './options.ts'
import { Epochs } from './epochs.ts'
import { Ways } from './ways.ts'
import { batchProduce, type Produce, type ProduceArguments } from './produce-request.ts'
import { withWholeMetadata } from './whole-metadata.ts'

/**
 * Of one send, by partition: `begun`, a request with it was handed to a connection, and may leave · `failed`, it was handed back
 * unwritten. What is not there was not handed over, and will not be once it is sealed.
 */
export class Departure {
  readonly #partitions = new Map<number, 'begun' | 'failed'>()
  #isSealed = false

  seal(): void {
    this.#isSealed = true
  }

  hasLeft(partition: number): boolean {
    return this.#partitions.get(partition) === 'begun'
  }

  hasFailed(partition: number): boolean {
    return this.#partitions.get(partition) === 'failed'
  }

  begin(partitions: ReadonlySet<number>): boolean {
    if (this.#isSealed) return false
    for (const partition of partitions) this.#partitions.set(partition, 'begun')
    return true
  }

  fail(partitions: ReadonlySet<number>): void {
    for (const partition of partitions) this.#partitions.set(partition, 'failed')
  }
}

/** A producer that asks for no acknowledgement and tries nothing twice. */
export interface DispatchProducer {
  readonly client: Producer
  /** It is known as whom it sends; see {@link Epochs}. */
  readonly isIdentified: () => boolean
  /** Asks a broker for that, where it is not known. */
  readonly identify: () => Promise<void>
  /** What follows on this topic is written down here. */
  readonly watch: (topic: string, departure: Departure) => void
  /**
   * Asks each leader of the topic for the end of its partitions, over the connections that sends use. Metadata names a leader
   * before it leads, and until it does it throws away in silence what is sent without acknowledgement. An answer also shows
   * that the connection is alive.
   */
  readonly probe: (topic: string) => Promise<void>
  /**
   * Resolves when each leader of the topic has answered over the connections that sends use: it takes what comes over one in its order. Rejects
   * where one does not answer, and where one was lost a short while ago that may still bring what it holds.
   */
  readonly settle: (topic: string) => Promise<void>
}

type ListOffsetsArguments = Parameters<KafkaLibrary['listOffsetsV9']['api']>
type Answered = (error: Error | null, response?: unknown) => void

/**
 * Each layer of the library that would send again is off (B8): `retries` (3 by default, around every request),
 * `repeatOnStaleMetadata` (a second send to a new leader), `idempotent` (which makes `retries` endless). Metadata does not grow
 * old by itself, so that a send waits for no answer.
 */
export function dispatchProducer(
  kafka: KafkaLibrary,
  settings: KafkaSettings,
  applicationName: string,
): DispatchProducer {
  const { UserError } = kafka
  const departures = new Map<string, Departure>()
  const epochs = new Epochs()
  const ways = new Ways(systemClock)
  const produce = batchProduce(kafka)

  const watched = (api: Produce): Produce => {
    return (...[connection, acks, timeout, messages, options, done]: ProduceArguments): void => {
      const answered = done as Answered
      const { topic } = messages[0]!
      const departure = departures.get(topic)
      const partitions = new Set(messages.map(({ partition }) => partition ?? 0))
      // What the last one still brings is to be refused. And where it led to another broker, this one's sequence may be behind ours.
      if (ways.areLeft(topic, partitions, connection)) epochs.next()
      const identity = epochs.current
      if (identity === null || departure?.begin(partitions) !== true) {
        answered(new UserError('Given up.'))
        return
      }
      const stamp = { ...options, ...identity }
      api(connection, acks, timeout, messages, stamp, (error: Error | null, response?: unknown) => {
        // Without acknowledgement there is one kind of error: the request was not written. Its numbers are used up.
        if (error) {
          departure.fail(partitions)
          epochs.next()
        }
        answered(error, response)
      })
    }
  }

  class Watched extends withWholeMetadata(kafka, kafka.Producer) {
    override [kafka.kGetApi]<Arguments extends unknown[], Response>(
      name: string,
      callback: (error: Error | null, api?: API<Arguments, Response>) => void,
    ): void {
      super[kafka.kGetApi]<Arguments, Response>(name, (error, api) => {
        if (error || name !== 'Produce' || api === undefined) callback(error, api)
        else callback(null, watched(produce(api.version)) as never)
      })
    }

    async identify(): Promise<void> {
      if (epochs.current === null) epochs.begin(await this.initIdempotentProducer({}))
    }

    async probe(topic: string): Promise<void> {
      const { topics, brokers } = await this.metadata({ topics: [topic] })
      const byLeader = Map.groupBy(topics.get(topic)!.partitions.entries(), ([, { leader }]) => leader)
      await Promise.all(
        [...byLeader].map(([leader, partitions]) =>
          this.#ask(
            brokers.get(leader)!,
            topic,
            partitions.map(([index]) => index),
          ),
        ),
      )
    }

    async settle(topic: string): Promise<void> {
      if (!ways.has(topic)) return
      await this.probe(topic)
      if (ways.areOpen(topic)) return
      throw new UserError('A connection was lost over which something was sent.')
    }

    async #ask(broker: Broker, topic: string, partitions: readonly number[]): Promise<void> {
      const connection = await new Promise<Connection>((resolve, reject) => {
        this[kafka.kGetConnection](broker, (error, found) => (error ? reject(error) : resolve(found!)))
      })
      const api = await new Promise<(...args: ListOffsetsArguments) => void>((resolve, reject) => {
        this[kafka.kGetApi]('ListOffsets', (error, found) =>
          error ? reject(error) : resolve(found as never),
        )
      })
      const request = partitions.map((partitionIndex) => ({
        partitionIndex,
        currentLeaderEpoch: -1,
        timestamp: -1n,
      }))
      await new Promise<void>((resolve, reject) => {
        api(connection, -1, 0, [{ name: topic, partitions: request }], (error: Error | null) =>
          error ? reject(error) : resolve(),
        )
      })
    }
  }

  const client = new Watched({
    ...clientOptions(settings, applicationName),
    idempotent: false,
    retries: 0,
    repeatOnStaleMetadata: false,
    metadataMaxAge: Number.MAX_SAFE_INTEGER,
  })
  return {
    client,
    isIdentified: () => epochs.current !== null,
    identify: () => client.identify(),
    watch: (topic, departure) => departures.set(topic, departure),
    probe: (topic) => client.probe(topic),
    settle: (topic) => client.settle(topic),
  }
}
