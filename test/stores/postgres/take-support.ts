import type pg from 'pg'
import type { Loss, OutboxRow, TakenRow } from '../../../src/ports/outbox.ts'
import type { Store } from '../../../src/ports/store.ts'
import {
  connect,
  type Desk,
  idsOf,
  message,
  openDesk,
  openStore,
  openStreet,
  publish,
  type Street,
} from './support.ts'
import { postgresDatabase } from '../../setup/servers.ts'

export interface Scene {
  readonly street: Street
  readonly desk: Desk
  readonly rows: readonly OutboxRow[]
}

/** A database in which rows are taken, and what is seen of it from outside. */
export class TakeDatabase {
  readonly url: string
  readonly store: Store
  readonly observer: pg.Client

  private constructor(url: string, store: Store, observer: pg.Client) {
    this.url = url
    this.store = store
    this.observer = observer
  }

  static async open(): Promise<TakeDatabase> {
    const { url } = await postgresDatabase()
    const store = openStore({ connectionString: url })
    await store.schema.migrate()
    return new TakeDatabase(url, store, await connect(url))
  }

  /** Rows of these keys, read by a desk that holds all partitions. */
  async scene(keys: readonly string[], partitions = 1, consumers: string[] = []): Promise<Scene> {
    const street = await openStreet(this.url, this.store, { partitions, consumers })
    const desk = await openDesk(this.store, street)
    await publish(this.store, this.observer, street.channel, ...keys.map((key) => message(key)))
    return { street, desk, rows: await desk.reader.read() }
  }

  async waiting(channel: string): Promise<string[]> {
    const { rows } = await this.observer.query(
      'select id from waybill.outbox where channel = $1 order by seq',
      [channel],
    )
    return idsOf(rows)
  }

  async lines(channel: string): Promise<readonly Record<string, unknown>[]> {
    const { rows } = await this.observer.query(
      'select batch, partition, epoch, consumer, ids from waybill.taken where channel = $1 order by partition, consumer',
      [channel],
    )
    return rows
  }

  async losses(channel: string): Promise<readonly Record<string, unknown>[]> {
    const { rows } = await this.observer.query(
      `select consumer, cause, count::int as count, last_id, last_code from waybill.losses where channel = $1
       order by consumer, cause`,
      [channel],
    )
    return rows
  }

  async endLeases(street: Street): Promise<void> {
    await this.observer.query(
      `update waybill.partitions set lease_until = now() - interval '1 s' where transport = $1`,
      [street.transport],
    )
  }
}

export function taken(row: OutboxRow, desk: Desk, changes: Partial<TakenRow> = {}): TakenRow {
  const { partition, seq, id, channel } = row
  return { partition, seq, id, channel, epoch: desk.epoch(partition), ...changes }
}

export function lost(row: OutboxRow, changes: Partial<Loss> = {}): Loss {
  return { channel: row.channel, id: row.id, cause: 'not-sent', code: 'ECONNRESET', ...changes }
}
