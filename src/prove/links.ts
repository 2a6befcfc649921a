import { type Proxy, startProxy } from '../testing.ts'
import type { KafkaPlace } from './kafka-place.ts'

/** The network between one kind of process and one kind of server. */
export interface Link {
  /** `relays-kafka`. */
  readonly name: string
  readonly to: 'postgres' | 'kafka'
  readonly proxy: Proxy
}

/** Which processes share a way to each server. */
export type Party = 'writer' | 'relays' | 'consumers'

/** All of a run's. Those to the database are made here; those to Kafka are the place's own, which goes on after them. */
export class Links {
  readonly all: readonly Link[]
  readonly #databaseUrl: string
  readonly #kafka: KafkaPlace | null

  private constructor(databaseUrl: string, kafka: KafkaPlace | null, all: readonly Link[]) {
    this.#databaseUrl = databaseUrl
    this.#kafka = kafka
    this.all = all
  }

  static async open(databaseUrl: string, kafka: KafkaPlace | null): Promise<Links> {
    const url = new URL(databaseUrl)
    const target = { host: url.hostname, port: Number(url.port || 5432) }
    const parties: readonly Party[] =
      kafka === null ? ['writer', 'consumers'] : ['writer', 'relays', 'consumers']
    const all: Link[] = []
    for (const party of parties)
      all.push({ name: `${party}-postgres`, to: 'postgres', proxy: await startProxy(target) })
    for (const [party, proxy] of Object.entries(kafka?.links ?? {}))
      all.push({ name: `${party}-kafka`, to: 'kafka', proxy })
    return new Links(databaseUrl, kafka, all)
  }

  /** How these processes reach the servers. */
  of(party: Party): { readonly databaseUrl: string; readonly brokers: readonly string[] | null } {
    const url = new URL(this.#databaseUrl)
    url.hostname = '127.0.0.1'
    url.port = String(this.#proxy(`${party}-postgres`)!.port)
    const broker = this.#proxy(`${party}-kafka`)
    const brokers = broker === undefined ? (this.#kafka?.brokers ?? null) : [`127.0.0.1:${broker.port}`]
    return { databaseUrl: url.href, brokers }
  }

  async stop(): Promise<void> {
    await Promise.all(this.all.filter(({ to }) => to === 'postgres').map(({ proxy }) => proxy.stop()))
  }

  #proxy(name: string): Proxy | undefined {
    return this.all.find((link) => link.name === name)?.proxy
  }
}
