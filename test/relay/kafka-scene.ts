import { randomUUID } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import { Consumer } from '@platformatic/kafka'
import pg from 'pg'
import { createWaybill, defineChannel, type Waybill } from '../../src/index.ts'
import { kafkaTransport } from '../../src/kafka.ts'
import { type PgClient, postgresStore } from '../../src/postgres.ts'
import { type Child, spawnChild, until } from '../../src/testing.ts'
import { openTransport, receiveCount, subscribe } from '../transports/kafka/scene.ts'
import type { Counted } from './counting-broker.ts'

export interface KafkaPlace {
  readonly url: string
  readonly brokers: readonly string[]
  readonly topic: string
}

const partitions = 4

export function open({ url, brokers, topic }: KafkaPlace, relay: boolean): Waybill<PgClient> {
  return createWaybill<PgClient>(
    {
      store: postgresStore({ connectionString: url }),
      transports: { kafka: kafkaTransport({ brokers, partitionsPerTopic: partitions }) },
      channels: [counted(topic)],
      relay,
      // Longer than a busy machine stands still: what a lease that ends by itself doubles is nothing these tests are about.
      leaseMs: 4000,
      batchSize: 20,
      readLimit: 20,
      pollMaxMs: 20,
      logLevel: 'silent',
    },
    {},
  )
}

const counted = (address: string) =>
  defineChannel<Counted>({ name: 'counted', address, key: ({ key }) => key })

/** Writers in this process, relays in processes of their own, and a topic that tells what came. */
export class KafkaRelayScene implements AsyncDisposable {
  readonly waybill: Waybill<PgClient>
  readonly #place: KafkaPlace
  readonly #client: pg.Client
  readonly #ends: Consumer
  readonly #children: Child[] = []
  readonly #places = new Map<string, number>()
  readonly #stop = new AbortController()
  #writing: Promise<void> | null = null
  /** Why it writes no more. */
  #failure: Error | null = null

  private constructor(place: KafkaPlace, client: pg.Client) {
    this.#place = place
    this.#client = client
    this.#ends = new Consumer({
      clientId: 'test',
      bootstrapBrokers: [...place.brokers],
      groupId: `ends-${place.topic}`,
    })
    this.waybill = open(place, false)
  }

  static async open(url: string, brokers: readonly string[]): Promise<KafkaRelayScene> {
    const client = new pg.Client(url)
    await client.connect()
    const scene = new KafkaRelayScene({ url, brokers, topic: `counted-${randomUUID()}` }, client)
    await scene.waybill.migrate()
    return scene
  }

  /** Starts a relay; resolves when it holds partitions. */
  async relay(): Promise<Child> {
    const child = spawnChild({
      script: fileURLToPath(new URL('children/kafka-relay.ts', import.meta.url)),
      args: [JSON.stringify(this.#place)],
    })
    this.#children.push(child)
    await until('a share of the partitions', async () => (await this.held(child)) > 0)
    return child
  }

  async held({ pid }: Child): Promise<number> {
    const { rows } = await this.#client.query<{ n: number }>(
      `select count(*)::int as n from waybill.partitions p join waybill.relays r on r.id = p.owner
       where r.pid = $1 and p.lease_until > clock_timestamp()`,
      [pid],
    )
    return rows[0]!.n
  }

  /** Publishes on and on, a few keys in each transaction, until `drained`. */
  write(): void {
    const { signal } = this.#stop
    const channel = counted(this.#place.topic)
    const loop = async (): Promise<void> => {
      for (let i = 0; !signal.aborted; i++) {
        await this.waybill.transaction(async (tx) => {
          for (let n = 0; n < 5; n++) {
            const key = `k${(i * 5 + n) % 40}`
            const place = (this.#places.get(key) ?? 0) + 1
            this.#places.set(key, place)
            await this.waybill.publish(tx, channel, { key, place })
          }
        })
      }
    }
    this.#writing = loop()
    this.#writing.catch((error: Error) => {
      this.#failure = error
    })
  }

  /** Resolves when so many messages have come to the topic that were not there before. */
  async grows(by = 50): Promise<void> {
    const before = await this.#end().catch(() => 0)
    await until('more in the topic', async () => {
      if (this.#failure !== null) throw this.#failure
      return (await this.#end().catch(() => 0)) >= before + by
    })
  }

  /** Ends the writing, waits until nothing is left, and tells what is in the topic. */
  async drained(): Promise<Verdict> {
    this.#stop.abort()
    await this.#writing
    await until('an empty outbox', async () => {
      const { rows } = await this.#client.query('select 1 from waybill.outbox limit 1')
      return rows.length === 0
    })
    const { brokers, topic } = this.#place
    const found = await this.#end()
    const deliveries = await receiveCount(await subscribe(openTransport(brokers), [topic]), found)
    const came = new Map<string, number[]>()
    for (const { envelope } of deliveries) {
      const { key, place } = JSON.parse(Buffer.from(envelope!.payload).toString()) as Counted
      came.set(key, [...(came.get(key) ?? []), place])
    }
    const published = [...this.#places.values()].reduce((sum, count) => sum + count, 0)
    // Each place once and one after another, up to the last that was written: nothing lost, doubled or overtaken.
    const wrong = [...this.#places].filter(([key, last]) => {
      const places = came.get(key) ?? []
      return places.length !== last || places.some((place, i) => place !== i + 1)
    })
    return { published, found, wrong: wrong.map(([key]) => `${key}: ${came.get(key)?.join(' ')}`) }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort()
    await this.#writing?.catch(() => {})
    for (const child of this.#children) await child.kill()
    await this.waybill.stop()
    await this.#ends.close(true)
    await this.#client.end()
  }

  async #end(): Promise<number> {
    const { topic } = this.#place
    const offsets = (await this.#ends.listOffsets({ topics: [topic] })).get(topic)!
    return offsets.reduce((sum, offset) => sum + Number(offset), 0)
  }
}

export interface Verdict {
  readonly published: number
  readonly found: number
  /** Keys of which not exactly what was published came, in its order. */
  readonly wrong: readonly string[]
}
