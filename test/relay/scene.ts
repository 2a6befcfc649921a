import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import pg from 'pg'
import { createWaybill, defineChannel, defineConfig, type Waybill } from '../../src/index.ts'
import { type PgClient, postgresStore } from '../../src/postgres.ts'
import {
  type Child,
  type HistoryEvent,
  readHistory,
  recordHistory,
  spawnChild,
  until,
} from '../../src/testing.ts'
import { type Copy, copiesIn, type Counted, countingBroker, type CountingOptions } from './counting-broker.ts'
import { notedStore } from './noted-store.ts'

const counted = defineChannel<Counted>({ name: 'counted', key: ({ key }) => key })

/** What a scene tells a relay, as JSON in `RELAY`. */
export interface RelaySettings extends Pick<CountingOptions, 'hangs'> {
  readonly url: string
  readonly ledger: string
  readonly history: string
  readonly gate: string
  /** A flaw: see `notedStore`. */
  readonly writesAhead: boolean
}

export function open(settings: RelaySettings, relay: boolean): Waybill<PgClient> {
  const { url, ledger, hangs, gate, writesAhead } = settings
  const history = recordHistory(settings.history)
  const onConfirmed = (id: string): void => history.note({ type: 'ok', f: 'wire', id })
  const config = defineConfig({
    store: notedStore(postgresStore({ connectionString: url }), { history, writesAhead }),
    transports: {
      counting: countingBroker(ledger, { gate, onConfirmed, ...(hangs === undefined ? {} : { hangs }) }),
    },
    channels: [counted],
    relay,
    // Longer than a busy machine stands still: a lease that ends by itself is a fault that these tests did not order.
    leaseMs: hangs === undefined ? 3000 : 120_000,
    batchSize: 20,
    readLimit: 20,
    pollMaxMs: 20,
    // Longer than any test: what hangs ends by a signal.
    publishTimeoutMs: hangs === undefined ? 2000 : 60_000,
    stopTimeoutMs: hangs === undefined ? 10_000 : 60_000,
    statementTimeoutMs: 5000,
    retryInitialMs: 50,
    logLevel: 'info',
  })
  return createWaybill<PgClient>(config, {})
}

/** Writers in this process, relays in processes of their own, and a broker that counts. */
export class RelayScene implements AsyncDisposable {
  readonly client: pg.Client
  readonly #url: string
  readonly #folder: string
  readonly #waybill: Waybill<PgClient>
  readonly #children: Child[] = []
  readonly #places = new Map<string, number>()
  readonly #published = new Set<string>()
  readonly #stop = new AbortController()
  #writing: Promise<void> | null = null
  /** Why it writes no more. */
  #failure: Error | null = null

  private constructor(url: string, client: pg.Client) {
    this.#url = url
    this.client = client
    this.#folder = mkdtempSync(join(tmpdir(), 'waybill-relays-'))
    this.#waybill = open(this.#settings({}), false)
  }

  static async open(url: string): Promise<RelayScene> {
    const client = new pg.Client(url)
    await client.connect()
    const scene = new RelayScene(url, client)
    await scene.#waybill.migrate()
    return scene
  }

  get copies(): readonly Copy[] {
    return copiesIn(this.#ledger)
  }

  /** From here on messages of the key `refused` are refused, until it is opened again. */
  shutGate(): void {
    writeFileSync(this.#gate, '')
  }

  openGate(): void {
    rmSync(this.#gate, { force: true })
  }

  /** What every relay has noted so far. */
  get history(): readonly HistoryEvent[] {
    return existsSync(this.#history) ? readHistory([this.#history]) : []
  }

  /** Starts a relay; resolves when it holds partitions. */
  async relay(options: RelayOptions = {}): Promise<Child> {
    const { preload, failpoints } = options
    const loaded =
      preload === undefined ? '' : ` --import ${new URL(`children/${preload}.ts`, import.meta.url).href}`
    const child = spawnChild({
      script: fileURLToPath(new URL('children/relay.ts', import.meta.url)),
      env: {
        RELAY: JSON.stringify(this.#settings(options)),
        NODE_OPTIONS: `${process.env['NODE_OPTIONS'] ?? ''}${loaded}`,
      },
      ...(failpoints === undefined ? {} : { failpoints }),
    })
    this.#children.push(child)
    await until('a share of the partitions', async () => (await this.held(child)) > 0)
    return child
  }

  async held({ pid }: Child): Promise<number> {
    const { rows } = await this.client.query<{ n: number }>(
      `select count(*)::int as n from waybill.partitions p join waybill.relays r on r.id = p.owner
       where r.pid = $1 and p.lease_until > clock_timestamp()`,
      [pid],
    )
    return rows[0]!.n
  }

  /** Publishes on and on, a few keys in each transaction, until `drained`. */
  write(): void {
    const { signal } = this.#stop
    const loop = async (): Promise<void> => {
      for (let i = 0; !signal.aborted; i++) {
        await this.publish(Array.from({ length: 5 }, (_, n) => `k${(i * 5 + n) % 40}`))
      }
    }
    this.#writing = loop()
    this.#writing.catch((error: Error) => {
      this.#failure = error
    })
  }

  async publish(keys: readonly string[]): Promise<void> {
    const ids = await this.#waybill.transaction(async (tx) => {
      const written: string[] = []
      for (const key of keys) {
        const place = (this.#places.get(key) ?? 0) + 1
        this.#places.set(key, place)
        written.push(await this.#waybill.publish(tx, counted, { key, place }))
      }
      return written
    })
    for (const id of ids) this.#published.add(id)
  }

  /** Resolves when this relay has sent something that was not there before. */
  async sendsMore({ pid }: Child): Promise<void> {
    const count = (): number => this.copies.filter((copy) => copy.pid === pid).length
    const before = count()
    await until(`process ${pid} sends`, () => {
      if (this.#failure !== null) throw this.#failure
      return count() > before
    })
  }

  /** Ends the writing, waits until nothing is left, and tells what came of it. */
  async drained(): Promise<Verdict> {
    this.#stop.abort()
    await this.#writing
    await until('an empty outbox', async () => {
      const { rows } = await this.client.query('select 1 from waybill.outbox limit 1')
      return rows.length === 0
    })
    const { copies } = this
    const first = new Map<string, Copy>()
    const times = new Map<string, number>()
    for (const copy of copies) {
      if (!first.has(copy.id)) first.set(copy.id, copy)
      times.set(copy.id, (times.get(copy.id) ?? 0) + 1)
    }
    const last = new Map<string, number>()
    let disorder = 0
    for (const { key, place } of first.values()) {
      if (place <= (last.get(key) ?? 0)) disorder += 1
      last.set(key, place)
    }
    return {
      published: this.#published.size,
      lost: [...this.#published].filter((id) => !first.has(id)).length,
      copies: copies.length - first.size,
      most: Math.max(...times.values()),
      disorder,
      senders: new Set(copies.map(({ pid }) => pid)).size,
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort()
    await this.#writing?.catch(() => {})
    for (const child of this.#children) await child.kill()
    await this.#waybill.stop()
    await this.client.end()
    rmSync(this.#folder, { recursive: true, force: true })
  }

  #settings({ hangs, writesAhead = false }: RelayOptions): RelaySettings {
    return {
      ...{ url: this.#url, ledger: this.#ledger, history: this.#history, gate: this.#gate, writesAhead },
      ...(hangs === undefined ? {} : { hangs }),
    }
  }

  get #ledger(): string {
    return join(this.#folder, 'ledger')
  }

  get #history(): string {
    return join(this.#folder, 'history')
  }

  get #gate(): string {
    return join(this.#folder, 'gate')
  }
}

interface RelayOptions extends Partial<Pick<RelaySettings, 'hangs' | 'writesAhead'>> {
  /** A module of `children/` that it loads first. */
  readonly preload?: string
  readonly failpoints?: string
}

export interface Verdict {
  readonly published: number
  readonly lost: number
  /** Beyond the first of each message. */
  readonly copies: number
  /** Times that the message came which came most often. */
  readonly most: number
  /** First copies that came after a later message of their key. */
  readonly disorder: number
  readonly senders: number
}
