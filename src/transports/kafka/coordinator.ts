import type { Connection, Consumer } from '@platformatic/kafka'
import { findApi } from './broker-api.ts'
import type { KafkaLibrary } from './client.ts'
import { hasKafkaError, responseIn } from './kafka-error.ts'

type FindArguments = [keyType: number, keys: readonly string[]]
interface FindResponse {
  readonly coordinators: readonly { readonly key: string; readonly nodeId: number }[]
}

const groupKey = 0

/**
 * The broker that answers for a group. The library knows one, too, but looks for another only when one of its own requests
 * fails, and ours are not among them.
 */
export class Coordinator {
  readonly groupId: string
  readonly #kafka: KafkaLibrary
  readonly #client: Consumer
  #node: number | undefined

  constructor(kafka: KafkaLibrary, client: Consumer, groupId: string) {
    this.groupId = groupId
    this.#kafka = kafka
    this.#client = client
  }

  /** The client's own connection to it. */
  async connection(): Promise<Connection> {
    const node = (this.#node ??= await this.#find())
    const connection = (await this.#client.connectToBrokers([node])).get(node)
    if (connection === undefined) {
      this.#node = undefined
      throw new this.#kafka.NetworkError('The coordinator is not known.')
    }
    return connection
  }

  /** After a request that failed: where nobody answered or another has the group, it is looked for anew. */
  judge(error: unknown): void {
    const isElsewhere = hasKafkaError(error, 'NOT_COORDINATOR', 'COORDINATOR_NOT_AVAILABLE')
    if (isElsewhere || responseIn(error) === undefined) this.#node = undefined
  }

  async #find(): Promise<number> {
    const connection = await new Promise<Connection>((resolve, reject) => {
      this.#client[this.#kafka.kGetBootstrapConnection]((error, found) => {
        if (error || found === undefined) reject(error ?? new Error('No broker can be reached.'))
        else resolve(found)
      })
    })
    const api = await findApi<FindArguments, FindResponse>(this.#kafka, this.#client, 'FindCoordinator')
    const { coordinators } = await api.async(connection, groupKey, [this.groupId])
    return coordinators.find(({ key }) => key === this.groupId)?.nodeId ?? -1
  }
}
