import { existsSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { randomUUID } from 'node:crypto'
import { Client } from 'pg'
import { type Child, type HistoryEvent, readHistory, spawnChild, until } from '../../src/testing.ts'
import { withDeadline } from '../../src/kernel/deadline.ts'
import { open as openInstance } from './instance.ts'
import type { SceneChoice } from './children/channel.ts'
import type { SceneSettings } from './children/parts.ts'
import type { Sabotage } from './children/sabotage.ts'
import { readWire } from './wire.ts'

export type Role = 'writer' | 'relay' | 'consumer'

export interface SceneOptions {
  /** @default exactly-once, idempotent into the broker, with an inbox */
  readonly choice?: SceneChoice
  readonly producerUrl: string
  /** The producer's database as the relay reaches it. @default the producer's */
  readonly relayUrl?: string
  /** Where consumers keep their inbox and effects. @default the producer's */
  readonly consumerUrl?: string
  readonly brokers: readonly string[] | null
  readonly orders?: number
  readonly failOnce?: boolean
  readonly sabotage?: Sabotage
  /** Whether the writer tries again where the database cannot be reached. */
  readonly isPatient?: boolean
}

/** Customers, each of whom places one order more at the end of a run that may lose some. */
const closing = 4

/** An order service and a shipping service, as child processes over databases of their own. */
export class Scene implements AsyncDisposable {
  readonly settings: SceneSettings
  readonly #children = new Map<string, Child>()
  readonly faults: HistoryEvent[] = []

  private constructor(settings: SceneSettings) {
    this.settings = settings
  }

  static async open(options: SceneOptions): Promise<Scene> {
    const {
      choice = { guarantee: 'exactly-once', publishing: 'idempotent' },
      producerUrl,
      relayUrl = producerUrl,
      consumerUrl = producerUrl,
      brokers,
      orders = 40,
      failOnce = false,
      sabotage,
      isPatient = false,
    } = options
    const topic = `orders.${randomUUID()}`
    const history = join(tmpdir(), `waybill-${topic}.ndjson`)
    const scene = new Scene({
      choice,
      producerUrl,
      relayUrl,
      consumerUrl,
      brokers,
      topic,
      history,
      handled: `${history}.handled`,
      orders,
      failOnce,
      sabotage,
      isPatient,
    })
    await scene.sql(
      producerUrl,
      `create table customers (id text primary key, orders int not null default 0);
       insert into customers (id) select 'c' || g from generate_series(0, 3) g;
       create table orders (id uuid primary key, customer text not null, place int not null)`,
    )
    await scene.sql(
      consumerUrl,
      `create table effects (number bigint generated always as identity, message_id uuid not null, order_id uuid not null,
         customer text not null, place int not null, idempotency_key text unique)`,
    )
    for (const url of new Set([producerUrl, consumerUrl])) {
      await using waybill = openInstance(scene.settings, url)
      await waybill.migrate()
    }
    return scene
  }

  /**
   * Places one more order for each customer and waits until the last of them has had its effect: what stood before it in its
   * key's order has ended by then, whichever way. For guarantees that may lose messages, where nothing else tells the end.
   */
  async closed(): Promise<void> {
    await this.#writer()
    this.settings.orders += closing
    this.start('writer')
    await this.#writer()
    await until(
      'the last orders',
      async () => {
        const [left] = await this.sql(
          this.settings.producerUrl,
          `select (select count(*) from waybill.outbox)::int as n, (select count(*) from waybill.taken)::int as taken`,
        )
        const done = await this.sql(
          this.settings.consumerUrl,
          `select customer from effects where order_id in (${await this.#lastOrders()})`,
        )
        return left?.['n'] === 0 && left['taken'] === 0 && done.length >= closing
      },
      { timeoutMs: 25_000, everyMs: 25 },
    )
  }

  /** What at-most-once counts as lost, or possibly lost. */
  async lossesCounted(): Promise<number> {
    const [row] = await this.sql(
      this.settings.producerUrl,
      'select coalesce(sum(count), 0)::int as n from waybill.losses',
    )
    return Number(row?.['n'])
  }

  async #lastOrders(): Promise<string> {
    const rows = await this.sql(
      this.settings.producerUrl,
      `select distinct on (customer) id from orders order by customer, place desc`,
    )
    return rows.map(({ id }) => `'${String(id)}'`).join(',')
  }

  async #writer(): Promise<void> {
    const writer = await this.child('writer').exited
    if (writer.code !== 0) throw new Error(`the writer failed: ${this.said('writer')}`)
  }

  /** Starts a child; `failpoints` as `WAYBILL_FAILPOINTS` has them. */
  start(role: Role, name: string = role, failpoints?: string): Child {
    const child = spawnChild({
      script: fileURLToPath(new URL(`children/${role}.ts`, import.meta.url)),
      // Without coverage: what they run is covered elsewhere, and with it no child starts from compiled code.
      env: { SCENE: JSON.stringify(this.settings), NODE_V8_COVERAGE: undefined },
      ...(failpoints === undefined ? {} : { failpoints }),
    })
    this.#children.set(name, child)
    return child
  }

  child(name: string): Child {
    return this.#children.get(name)!
  }

  /** Waits until the child has killed itself at its failpoint, notes the fault, and starts it again without. */
  async revive(role: Role, name: string = role): Promise<void> {
    const dying = this.child(name)
    await dying.waitForLine((line) => /^failpoint \S+ kill$/u.test(line), 20_000)
    await withDeadline(dying.exited, 20_000, `the end of ${name}`)
    this.noteFault(`kill ${name}`)
    this.start(role, name)
  }

  noteFault(key: string): void {
    const t = Number(process.hrtime.bigint() / 1000n)
    // The wire is read at the end of a run, so a copy's own time is not known: this fault may explain a second copy of each
    // message that was written before it, and of none written after it.
    this.faults.push({ process: 'test', type: 'info', f: 'fault', key, seq: null, id: null, t })
  }

  said(name: string): string {
    return this.child(name).lines.slice(-20).join('\n')
  }

  /** The writer has placed all its orders, and every committed one has had its effect. */
  async drained(timeoutMs = 25_000): Promise<void> {
    await this.#writer()
    await until(
      'the drain',
      async () => {
        const [left] = await this.sql(
          this.settings.producerUrl,
          'select count(*)::int as n from waybill.outbox',
        )
        const [due] = await this.sql(this.settings.producerUrl, 'select count(*)::int as n from orders')
        const [done] = await this.sql(
          this.settings.consumerUrl,
          'select count(distinct order_id)::int as n from effects where place > 0',
        )
        return left?.['n'] === 0 && Number(done?.['n']) >= Number(due?.['n'])
      },
      { timeoutMs, everyMs: 25 },
    )
  }

  /** Everything that happened: what the writer was told, what the databases hold, what went over the wire. */
  async history(): Promise<readonly HistoryEvent[]> {
    const told = readHistory([this.settings.history])
    const rows = await this.sql(this.settings.producerUrl, 'select id, customer, place from orders')
    const orders = new Map(rows.map((row) => [String(row['id']), row]))
    const ended = new Set(told.filter((e) => e.f === 'write' && e.type !== 'invoke').map((e) => e.id))
    const handled = existsSync(this.settings.handled) ? readHistory([this.settings.handled]) : []
    const events: HistoryEvent[] = [...this.faults, ...told, ...handled]
    let t = Number(process.hrtime.bigint() / 1000n)
    const add = (event: Omit<HistoryEvent, 'process' | 't'>): void => {
      events.push({ process: 'database', t: t++, ...event })
    }
    // A writer that was killed was told nothing: whether its order is there is what its message must agree with.
    for (const { f, type, id, key } of told) {
      if (f !== 'write' || type !== 'invoke' || ended.has(id)) continue
      const row = orders.get(id!)
      if (row === undefined) add({ type: 'fail', f: 'write', key, seq: null, id })
      else add({ type: 'ok', f: 'write', key, seq: Number(row['place']), id })
    }
    for (const { id, key } of await readWire(this.settings))
      add({ type: 'ok', f: 'wire', key, seq: null, id })
    const effects = await this.sql(this.settings.consumerUrl, 'select * from effects order by number')
    for (const row of effects) {
      const [id, key] = [String(row['message_id']), String(row['customer'])]
      add({ type: 'ok', f: 'handle', key, seq: Number(row['place']), id })
      add({ type: 'ok', f: 'effect', key, seq: Number(row['place']), id })
    }
    return events
  }

  async sql(url: string, text: string): Promise<Record<string, unknown>[]> {
    const client = new Client({ connectionString: url })
    client.on('error', () => {})
    await client.connect()
    try {
      const result = await client.query(text)
      return result.rows as Record<string, unknown>[]
    } finally {
      await client.end()
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of this.#children.values()) await child.kill()
    for (const file of [this.settings.history, this.settings.handled]) rmSync(file, { force: true })
  }
}
