import { isWaybillError } from '../kernel/errors.ts'
import { until } from '../testing.ts'
import type { Query } from '../demo/database.ts'
import type { Marks } from './marks.ts'
import { mostRecoveryMs } from './rows.ts'
import { type ProveSettings, sessionsOf } from './settings.ts'
import type { Judged } from './tracks.ts'

/** A transaction may be committed by so much later than its order was placed: longer than any of them lives. */
const latestCommitUs = 30_000_000

export interface CalmParts {
  readonly query: Query
  readonly settings: ProveSettings
  readonly tracks: readonly Judged[]
  readonly marks: Marks
  readonly signal: AbortSignal
  /**
   * In which something must come to its end: what is stuck never does, and a machine that is busy with others drains, if slowly.
   * @default 30000
   */
  readonly drainMs?: number
  /** So long the drain may take in all, whatever comes to its end. @default 120000 */
  readonly mostDrainMs?: number
  /**
   * So long it is waited at most for messages that may be lost and that nothing marks the end of: who has none by then is taken for lost.
   * Without a fault a message takes a fraction of it, and under a fault it may be lost.
   * @default 5000
   */
  readonly unmarkedMs?: number
}

/** Knows when nothing is under way any more. */
export class Calm {
  readonly #parts: CalmParts
  #looked = 0

  constructor(parts: CalmParts) {
    this.#parts = parts
  }

  /** Waits for the first message of each track. Given up in time, where one gets none. */
  async begun(): Promise<void> {
    const { query, settings, tracks } = this.#parts
    const look = async (): Promise<boolean> => {
      const rows = await query(`select distinct track from ${settings.loadSchema}.orders`).catch(() => [])
      return rows.length >= tracks.length
    }
    await this.#until('the first messages', look, mostRecoveryMs)
  }

  /**
   * Waits for the end of everything that was written until `at`, in microseconds of the database's clock. Gives up in time: what is
   * missing then is for the rows to say.
   */
  async quiet(at: number, timeoutMs: number = mostRecoveryMs): Promise<void> {
    await this.#wait('quiet', at, timeoutMs)
    this.#looked = at
  }

  /** Whether nothing at all is left. Given up where nothing has come to its end for a while, and where that is too slow to see the end of. */
  async drained(): Promise<boolean> {
    this.#looked = 0
    const { drainMs = 30_000, mostDrainMs = 120_000 } = this.#parts
    const end = performance.now() + mostDrainMs
    let left = Infinity
    while (!(await this.#wait('the drain', Number.MAX_SAFE_INTEGER, drainMs))) {
      const before = left
      // A database that cannot even be asked has brought nothing to its end.
      left = await this.#left(Number.MAX_SAFE_INTEGER).catch(() => Infinity)
      if (left >= before || performance.now() >= end) return false
    }
    return true
  }

  async #wait(what: string, at: number, timeoutMs: number): Promise<boolean> {
    const { marks, unmarkedMs = 5000 } = this.#parts
    const isMarked = marks.begin()
    let clearAt: number | undefined
    const look = async (): Promise<boolean> => {
      try {
        if ((await this.#left(at)) > 0 || !(await isMarked())) return false
        clearAt ??= performance.now()
        return performance.now() - clearAt >= unmarkedMs || (await this.#unmarked(at)) === 0
      } catch {
        // The database is not back yet.
        return false
      }
    }
    return await this.#until(what, look, timeoutMs)
  }

  /** Whether it was so in time. */
  async #until(what: string, look: () => Promise<boolean>, timeoutMs: number): Promise<boolean> {
    const { signal } = this.#parts
    try {
      await until(what, look, { timeoutMs, everyMs: 50, signal })
      return true
    } catch (error) {
      signal.throwIfAborted()
      if (isWaybillError(error) && error.code === 'WB_TIMED_OUT') return false
      throw error
    }
  }

  /** On their way from a broker to their handlers, or lost there. */
  async #unmarked(at: number): Promise<number> {
    const { query, settings, tracks } = this.#parts
    const names = tracks.filter(({ isUnmarked }) => isUnmarked).map(({ name }) => name)
    if (names.length === 0) return 0
    const { loadSchema } = settings
    const [row] = await query(
      `select count(*) as n from ${loadSchema}.orders o
       where o.at <= to_timestamp($1::float8 / 1e6) and o.at > to_timestamp($2::float8 / 1e6) and o.track = any($3)
         and not exists (select from ${loadSchema}.effects e where e.id = o.id and e.track = o.track)`,
      // Who was taken for lost is not waited for again.
      [latest(at), this.#looked, names],
    )
    return Number(row!['n'])
  }

  /** In transactions, in the outbox, in hands, and on the way from there to its effect and to what follows from that. */
  async #left(at: number): Promise<number> {
    const { query, settings, tracks } = this.#parts
    const { schema, loadSchema } = settings
    const lossless = tracks.filter(({ guarantee }) => guarantee !== 'at-most-once')
    const [row] = await query(
      `
      select (select count(*) from pg_stat_activity
          where starts_with(application_name, $5) and xact_start <= to_timestamp($1::float8 / 1e6))
        + (select count(*) from ${schema}.outbox where created_at <= to_timestamp($1::float8 / 1e6))
        + (select count(*) from ${schema}.taken)
        + (select count(*) from ${loadSchema}.orders o
            where o.at <= to_timestamp($1::float8 / 1e6) and o.at > to_timestamp($2::float8 / 1e6) and o.track = any($3)
              and not exists (select from ${loadSchema}.effects e where e.id = o.id and e.track = o.track)
              and not exists (select from ${schema}.dead d where d.id = o.id))
        + (select count(*) from ${loadSchema}.effects e
            where e.at <= to_timestamp($1::float8 / 1e6) and e.at > to_timestamp($2::float8 / 1e6) and e.track = any($4)
              and not exists (select from ${loadSchema}.outputs p where p.of = e.id)) as n`,
      [
        latest(at),
        Math.max(0, this.#looked - latestCommitUs),
        lossless.map(({ name }) => name),
        tracks.filter(({ hasFollow }) => hasFollow).map(({ name }) => name),
        sessionsOf(settings, 'writer'),
      ],
    )
    return Number(row!['n'])
  }
}

/** No later than the year 9999: that is as late as a time can be told. */
function latest(at: number): number {
  return Math.min(at, 253_370_764_800_000_000)
}
