import type pg from 'pg'
import type { LayoutWait } from '../../../src/ports/layouts.ts'
import type { LeaseSession } from '../../../src/ports/leases.ts'
import type { Store } from '../../../src/ports/store.ts'
import { until } from '../../../src/testing/until.ts'
import type { Street } from './support.ts'

export interface Change {
  readonly ended: Promise<void>
  readonly waits: LayoutWait[]
  abort(): void
}

/** Changes of the layouts of one database, and what there is to see of them. */
export class LayoutScene {
  readonly #store: Store
  readonly #observer: pg.Client

  constructor(store: Store, observer: pg.Client) {
    this.#store = store
    this.#observer = observer
  }

  change(street: Pick<Street, 'transport'>, partitions: number): Change {
    const controller = new AbortController()
    const waits: LayoutWait[] = []
    const ended = this.#store.layouts.change(street.transport, partitions, {
      signal: controller.signal,
      onWait: (wait) => waits.push(wait),
    })
    // Awaited later, or not at all where the test has failed before.
    ended.catch(() => {})
    return {
      ended,
      waits,
      abort() {
        controller.abort()
      },
    }
  }

  async layoutOf({ transport }: Street): Promise<{ first: number; count: number; changing: boolean }> {
    const { rows } = await this.#observer.query(
      'select first_partition as first, partitions as count, is_changing as changing from waybill.transports where transport = $1',
      [transport],
    )
    return rows[0]
  }

  /** The partition of the newest row of a channel. */
  async newest({ channel }: Street): Promise<number> {
    const { rows } = await this.#observer.query(
      'select partition from waybill.outbox where channel = $1 order by seq desc limit 1',
      [channel],
    )
    return rows[0].partition
  }

  /** Until so many operators' transactions wait for a lock. */
  async operatorsWait(count: number): Promise<void> {
    await until(`${count} operators that wait`, async () => {
      const { rows } = await this.#observer.query(
        `select count(*)::int as n from pg_stat_activity
         where datname = current_database() and application_name like '%operator%' and wait_event_type = 'Lock'`,
      )
      return rows[0].n === count
    })
  }

  async isAnnounced(street: Street): Promise<void> {
    await until('the announcement', async () => (await this.layoutOf(street)).changing)
  }
}

/** Opens what can be opened, as the survey of any relay of the lane does; tells what can be claimed. */
export async function claimable(session: LeaseSession): Promise<number[]> {
  await session.survey()
  const gained = await session.claim(1000)
  await session.release(gained)
  return gained.map(({ partition }) => partition).toSorted((a, b) => a - b)
}

export function range(first: number, count: number): number[] {
  return Array.from({ length: count }, (_, i) => first + i)
}
