import type pg from 'pg'
import type { Store } from '../../../src/ports/store.ts'
import type { OutboxRow } from '../../../src/ports/outbox.ts'
import { followerOf, letterOf } from './failures.ts'
import { type Desk, message, openDesk, openStreet, publish, type Street, TestReader } from './support.ts'

export interface Scene {
  readonly street: Street
  readonly desk: Desk
  readonly rows: readonly OutboxRow[]
}

/** The database of a test file, and what its tests ask of it. */
export class Town {
  readonly store: Store
  readonly observer: pg.Client
  readonly url: string

  constructor(url: string, store: Store, observer: pg.Client) {
    this.url = url
    this.store = store
    this.observer = observer
  }

  /** A channel with these messages, one for each key, read by a relay that holds its only partition. */
  async scene(keys: readonly (string | null)[], consumers: readonly string[] = []): Promise<Scene> {
    const { url, store, observer } = this
    const ordered = keys.every((key) => key !== null)
    const street = await openStreet(url, store, { partitions: 1, ordered, consumers })
    const desk = await openDesk(store, street)
    await publish(store, observer, street.channel, ...keys.map((key) => message(key)))
    return { street, desk, rows: await desk.reader.read() }
  }

  /** The same, and the first message of key `a` parks it, with the others of that key beside it. */
  async parked(keys: readonly string[], consumers: readonly string[] = []): Promise<Scene> {
    const scene = await this.scene(keys, consumers)
    const [head, ...followers] = scene.rows.filter(({ key }) => key === 'a')
    await scene.desk.outbox.bury([letterOf(head!, scene.desk, { parks: true })])
    if (followers.length > 0)
      await scene.desk.outbox.moveFollowers(followers.map((row) => followerOf(row, scene.desk)))
    return scene
  }

  async numbers({ channel }: Street, consumer?: string): Promise<number[]> {
    const letters = await this.store.deadLetters.list({ channel, consumer }, { limit: 1000 })
    return letters.map(({ number }) => number)
  }

  async ids(table: 'outbox' | 'dead' | 'blocked', { channel }: Street): Promise<string[]> {
    const { rows } = await this.observer.query(
      `select id from waybill.${table} where channel = $1 order by seq`,
      [channel],
    )
    return rows.map(({ id }) => id as string)
  }

  async rewind({ first }: Street, consumer = ''): Promise<number> {
    const { rows } = await this.observer.query(
      'select counter::int as counter from waybill.rewinds where partition = $1 and consumer = $2',
      [first, consumer],
    )
    return rows[0]?.counter ?? 0
  }

  async inbox(id: string): Promise<string[]> {
    const { rows } = await this.observer.query(
      'select consumer from waybill.inbox where message_id = $1 order by 1',
      [id],
    )
    return rows.map(({ consumer }) => consumer as string)
  }
}

/** What a relay that begins now reads, as id and whether it is marked as of a parked key. */
export async function seen(desk: Desk, street: Street): Promise<[string, boolean][]> {
  const rows = await new TestReader(desk.outbox, street).read()
  return rows.map(({ id, isParked }) => [id, isParked])
}
