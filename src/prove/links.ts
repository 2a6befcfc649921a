import { type Proxy, startProxy } from '../testing.ts'
import type { HostPort } from '../ports/store.ts'
import type { KafkaPlace } from './kafka-place.ts'
import type { ProveSettings } from './settings.ts'

/** The network between one kind of process and one kind of server. */
export interface Link {
  /** `relays-kafka`. */
  readonly name: string
  readonly to: 'postgres' | 'kafka'
  readonly proxy: Proxy
}

/** Which processes share a way to each server. */
export type Party = 'writer' | 'relays' | 'consumers'

export interface Database {
  readonly databaseUrl: string | null
  readonly listensAt: HostPort | null
}

/** All of a run's. Those to the database are made here; those to Kafka are the place's own, which goes on after them. */
export class Links {
  readonly all: readonly Link[]
  readonly #databaseUrl: string | null
  readonly #kafka: KafkaPlace | null

  private constructor(databaseUrl: string | null, kafka: KafkaPlace | null, all: readonly Link[]) {
    this.#databaseUrl = databaseUrl
    this.#kafka = kafka
    this.all = all
  }

  /** `databaseUrl`: `null` where a configuration has it. `listensAt`: `null` where a proxy would not be taken for the database. */
  static async open({ databaseUrl, listensAt }: Database, kafka: KafkaPlace | null): Promise<Links> {
    const parties: readonly Party[] =
      kafka === null ? ['writer', 'consumers'] : ['writer', 'relays', 'consumers']
    const all: Link[] = []
    for (const party of listensAt === null ? [] : parties)
      all.push({ name: `${party}-postgres`, to: 'postgres', proxy: await startProxy(listensAt!) })
    for (const [party, proxy] of Object.entries(kafka?.links ?? {}))
      all.push({ name: `${party}-kafka`, to: 'kafka', proxy })
    return new Links(databaseUrl, kafka, all)
  }

  /** How these processes reach the servers. */
  of(party: Party): Pick<ProveSettings, 'databaseUrl' | 'storeWay' | 'brokers'> {
    const database = this.#proxy(`${party}-postgres`)
    const storeWay = database === undefined ? null : { host: '127.0.0.1', port: database.port }
    const broker = this.#proxy(`${party}-kafka`)
    const brokers = broker === undefined ? (this.#kafka?.brokers ?? null) : [`127.0.0.1:${broker.port}`]
    if (this.#databaseUrl === null || storeWay === null)
      return { databaseUrl: this.#databaseUrl, storeWay, brokers }
    const url = new URL(this.#databaseUrl)
    url.hostname = storeWay.host
    url.port = String(storeWay.port)
    return { databaseUrl: url.href, storeWay: null, brokers }
  }

  async stop(): Promise<void> {
    await Promise.all(this.all.filter(({ to }) => to === 'postgres').map(({ proxy }) => proxy.stop()))
  }

  #proxy(name: string): Proxy | undefined {
    return this.all.find((link) => link.name === name)?.proxy
  }
}
