import { randomUUID } from 'node:crypto'
import type { Clock } from '../../kernel/clock.ts'
import { describeError, isWaybillError, WaybillError } from '../../kernel/errors.ts'
import { failpoint } from '../../kernel/failpoint.ts'
import type { Logger } from '../../kernel/logger.ts'
import type { Lane } from '../../ports/lane.ts'
import type { LayoutChange, Layouts, TransportLayout } from '../../ports/layouts.ts'
import { mostLooked, type PartRow, partsOf } from './backlog.ts'
import type { Connection } from './connection.ts'
import {
  advanceText,
  announceText,
  blockedText,
  changerLockText,
  changeText,
  layoutLockText,
  leftBehindText,
  lookText,
  preparedText,
  remainsText,
  sessionsText,
} from './layout-statements.ts'
import { sweepText } from './outbox-remove-statements.ts'
import { registrationLock, tryRegistrationLock } from './schema.ts'

/** Numbers of partitions are 32-bit integers, and never used again. */
const lastNumber = 2_147_483_647

/**
 * How long the change waits for writers at once. Whoever wants to publish meanwhile waits behind it, so it is short, and shorter
 * than PostgreSQL's deadlock_timeout: a circle through the change is ended by the change, never by a writer's failure.
 */
const lockTimeoutMs = 300
const pauseMs = 500
const lookEveryMs = 100
const tellEveryMs = 1000
/** Rows deleted between two looks: the rest goes at the next. */
const mostSwept = 5000

const what = 'change the number of partitions'

/**
 * Does the next step of a change of partitions on a lane, where one has become possible and nobody else is at it. On a connection
 * apart from that of the leases, which must stay free for renewals (R4). Never rejects: it is tried again soon.
 */
export async function advance(
  connection: Connection,
  schema: string,
  { transport, consumer }: Lane,
  { logger, keeps }: { readonly logger: Logger; readonly keeps: boolean },
): Promise<void> {
  const lanes = consumer === '' ? [''] : [consumer, '']
  try {
    await connection.transaction('go on with a change of partitions', async (run) => {
      await run({ text: 'set transaction isolation level read committed' })
      const [lock] = await run<{ got: boolean }>({ text: `select ${tryRegistrationLock(schema)} as got` })
      if (lock!.got) await run({ text: advanceText(schema), values: [transport, lanes] })
    })
    if (consumer === '') return
    // In a retired layout nobody claims a partition any more, and so nobody would sweep it.
    const left = { text: leftBehindText(schema), values: [transport, consumer] }
    const [row] = await connection.query<{ partitions: readonly number[] }>(left, 'look at a retired layout')
    if (row!.partitions.length === 0) return
    const query = { text: sweepText(schema, keeps), values: [row!.partitions, consumer, mostSwept] }
    await connection.query(query, 'delete handled rows')
  } catch (error) {
    logger.warn(
      { transport, consumer, error: describeError(error) },
      'could not go on with a change of partitions; trying again',
    )
  }
}

/** Lends a session of its own for one call. */
type Lend = <T>(work: (connection: Connection) => Promise<T>) => Promise<T>

export function createLayouts(lend: Lend, schema: string, clock: Clock): Layouts {
  return {
    look: (transports) => lend((connection) => look(connection, schema, transports)),
    change: (transport, partitions, options) =>
      lend(async (connection) => {
        await new Change({ connection, lend, schema, transport, options, clock }).run(partitions)
      }),
    blocked: (transport) =>
      lend(async (connection) => {
        const query = { text: blockedText(schema), values: [transport, mostLooked] }
        return partsOf(
          await connection.query<Omit<PartRow, 'kind'> & { readonly consumer: string }>(
            query,
            'look for blocked keys',
          ),
        )
      }),
    remains: (transport) =>
      lend(async (connection) => {
        const query = { text: remainsText(schema), values: [transport, mostLooked] }
        return partsOf(
          await connection.query<PartRow & { readonly ordered: boolean }>(query, 'look at older partitions'),
        )
      }),
  }
}

async function look(
  connection: Connection,
  schema: string,
  transports: readonly string[],
): Promise<readonly TransportLayout[]> {
  const query = { text: lookText(schema), values: [transports] }
  const rows = await connection.query<Omit<TransportLayout, 'isChanging'> & { is_changing: boolean }>(
    query,
    'look at the partitions',
  )
  return rows.map(({ is_changing: isChanging, ...row }) => ({ ...row, isChanging }))
}

interface ChangeParts {
  /** Holds the turn. */
  readonly connection: Connection
  readonly lend: Lend
  readonly schema: string
  readonly transport: string
  readonly options: LayoutChange
  readonly clock: Clock
}

/** One change. A crash between two steps leaves the flag set, under which everything is right, and slower. */
class Change {
  readonly #parts: ChangeParts
  readonly #id = randomUUID()
  #toldAt: number

  constructor(parts: ChangeParts) {
    this.#parts = parts
    this.#toldAt = parts.clock.now()
  }

  async run(partitions: number): Promise<void> {
    await this.#takeTurn()
    const before = await this.#find()
    if (before.partitions === partitions) {
      if (before.isChanging) await this.#announce(null)
      return
    }
    await this.#checkNumbers(partitions)
    await this.#announce(this.#id)
    failpoint('layout.after-announce')
    try {
      await this.#waitForTransactions()
      failpoint('layout.before-change')
      while (!(await this.#tryToChange(partitions))) {
        this.#tell({ for: 'writers' })
        await this.#pause(pauseMs)
      }
    } catch (error) {
      // Asked to: nothing is left half done. After any other failure the flag stays, and running it again goes on.
      if (isWaybillError(error) && error.code === 'WB_ABORTED') await this.#announce(null)
      throw error
    }
    failpoint('layout.after-change')
  }

  async #takeTurn(): Promise<void> {
    const { connection, schema } = this.#parts
    await this.#query('select 1', [])
    if (connection.isShared) return
    const [row] = await this.#query<{ got: boolean }>(changerLockText(schema), [])
    if (row!.got) return
    throw new WaybillError(
      'WB_STORE_CONFLICT',
      'Another process is changing the number of partitions of this schema. Wait for its end, or end it, and run this again.',
      { retryable: 'yes' },
    )
  }

  async #find(): Promise<TransportLayout> {
    const { connection, schema, transport } = this.#parts
    const [found] = await look(connection, schema, [transport])
    if (found !== undefined) return found
    throw new WaybillError(
      'WB_INVALID_OPTION',
      `Transport "${transport}" is not registered in the store. Run \`waybill migrate\` with a configuration that has it.`,
    )
  }

  async #checkNumbers(partitions: number): Promise<void> {
    const text = `select max(first_partition::bigint + partitions)::text as next from ${this.#parts.schema}.layouts`
    const [row] = await this.#query<{ next: string }>(text, [])
    if (Number(row!.next) + partitions <= lastNumber) return
    throw new WaybillError(
      'WB_INVALID_OPTION',
      `Partitions are numbered up to ${lastNumber} and never twice: there are no ${partitions} numbers left after ${row!.next}.`,
    )
  }

  async #announce(changer: string | null): Promise<void> {
    const { schema, transport } = this.#parts
    await this.#query(announceText(schema), [transport, changer])
  }

  /** Until all that began before the announcement are over: what begins from here on sees it. */
  async #waitForTransactions(): Promise<void> {
    for (const text of [sessionsText, preparedText]) {
      const began = new Set((await this.#transactions(text)).map(({ id }) => id))
      for (;;) {
        const left = (await this.#transactions(text)).filter(({ id }) => began.has(id))
        const [first] = left
        if (first === undefined) break
        this.#tell({ for: 'transactions', count: left.length, oldest: first.name })
        await this.#pause(lookEveryMs)
      }
    }
  }

  async #transactions(text: string): Promise<readonly { readonly id: string; readonly name: string }[]> {
    return await this.#query(text, [])
  }

  /** `false`: somebody who has published has not ended yet. On a session of its own, which a failure ends. */
  async #tryToChange(partitions: number): Promise<boolean> {
    const { lend, schema, transport } = this.#parts
    let changed: number
    try {
      changed = await lend((connection) =>
        connection.transaction(what, async (run) => {
          await run({ text: 'set transaction isolation level read committed' })
          await run({ text: `set local lock_timeout to ${lockTimeoutMs}` })
          await run({ text: `select ${registrationLock(schema, 'exclusive')}` })
          await run({ text: layoutLockText(schema), values: [transport] })
          const values = [transport, partitions, this.#id]
          return (await run<{ changed: number }>({ text: changeText(schema), values }))[0]!.changed
        }),
      )
    } catch (error) {
      if (!isWaybillError(error) || error.code !== 'WB_STORE_CONFLICT') throw error
      return false
    }
    if (changed === 1) return true
    throw new WaybillError(
      'WB_STORE_CONFLICT',
      `Another process has begun or ended a change of the partitions of transport "${transport}" meanwhile. Run this again.`,
      { retryable: 'yes' },
    )
  }

  #tell(wait: Parameters<LayoutChange['onWait']>[0]): void {
    const { clock, options } = this.#parts
    const now = clock.now()
    if (now - this.#toldAt < tellEveryMs) return
    this.#toldAt = now
    options.onWait(wait)
  }

  async #pause(ms: number): Promise<void> {
    const { clock, options, transport } = this.#parts
    const { signal } = options
    await clock.sleep(ms, signal)
    if (!signal.aborted) return
    throw new WaybillError(
      'WB_ABORTED',
      `The change of partitions of transport "${transport}" was given up, and nothing has changed.`,
    )
  }

  #query<Row = unknown>(text: string, values: unknown[]): Promise<readonly Row[]> {
    return this.#parts.connection.query<Row>({ text, values }, what)
  }
}
