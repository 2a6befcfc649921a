import type { Broker, ConnectionPool, Consumer } from '@platformatic/kafka'
import { findApi } from './broker-api.ts'
import { clientOptions, type FetchRequestTopic, type FetchResponse, type KafkaLibrary } from './client.ts'
import type { KafkaSettings } from './options.ts'

const fetchBytes = 4 * 1_048_576
/** How long the broker holds a fetch that finds nothing. */
const fetchWaitMs = 1000
/** No fetch session: each request names all its partitions, and the broker keeps nothing of it. */
const noSession = { id: 0, epoch: -1 }

type FetchArguments = [
  waitMs: number,
  minBytes: number,
  maxBytes: number,
  isolation: number,
  sessionId: number,
  sessionEpoch: number,
  topics: readonly FetchRequestTopic[],
  forgotten: readonly never[],
  rack: string,
]

/**
 * Fetches what is committed. By a request of its own and not the library's `fetch`, whose filter for aborted transactions
 * delivers some of them and drops committed ones; `abortedTransactions` is left for `committed` to judge.
 *
 * On connections of its own: a fetch blocks its connection at the broker, and heartbeats and commits must pass.
 */
export class Fetcher {
  readonly #kafka: KafkaLibrary
  readonly #client: Consumer
  readonly #pool: ConnectionPool
  readonly #waitMs: number

  constructor(kafka: KafkaLibrary, client: Consumer, settings: KafkaSettings) {
    const { clientId, ...connection } = clientOptions(settings, client.clientId)
    this.#kafka = kafka
    this.#client = client
    this.#pool = new kafka.ConnectionPool(clientId, connection)
    // An empty answer has to come within the time that a request may take.
    this.#waitMs = Math.min(fetchWaitMs, settings.requestTimeoutMs >> 1)
  }

  async fetch(broker: Broker, topics: readonly FetchRequestTopic[]): Promise<FetchResponse> {
    const api = await findApi<FetchArguments, FetchResponse>(this.#kafka, this.#client, 'Fetch')
    const connection = await this.#pool.get(broker)
    const { READ_COMMITTED } = this.#kafka.FetchIsolationLevels
    const { id, epoch } = noSession
    return api.async(connection, this.#waitMs, 1, fetchBytes, READ_COMMITTED, id, epoch, topics, [], '')
  }

  close(): void {
    this.#pool.close().catch(() => {})
  }
}
