import { beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import type pg from 'pg'
import type { ConsumerEvent } from '../../../src/consumer/events.ts'
import type { HandlerEntry } from '../../../src/consumer/handler.ts'
import { Replayer, type ReplayerOptions } from '../../../src/consumer/replayer.ts'
import { systemClock } from '../../../src/kernel/clock.ts'
import { newMessageId } from '../../../src/kernel/ids.ts'
import { silentLogger } from '../../../src/kernel/logger.ts'
import { defineChannel } from '../../../src/outbox/channel.ts'
import type { Store } from '../../../src/ports/store.ts'
import type { PgClient } from '../../../src/postgres.ts'
import { until } from '../../../src/testing/until.ts'
import { Connections } from '../../../src/stores/postgres/connections.ts'
import { claimReplayText } from '../../../src/stores/postgres/replay-statements.ts'
import { postgresDatabase } from '../../setup/servers.ts'
import { blocks, fullPasses, prepare } from './explain.ts'
import { connect, context, openStore } from './support.ts'

let url: string
let store: Store
let observer: pg.Client
let consumers = 0

beforeAll(async () => {
  ;({ url } = await postgresDatabase())
  store = openStore({ connectionString: url })
  await store.schema.migrate()
  observer = await connect(url)
  await observer.query('create table effects (consumer text, id uuid)')
})

interface Scene {
  readonly consumer: string
  readonly events: ConsumerEvent[]
  /** Begins a process of the consumer. */
  start(changes?: Partial<ReplayerOptions>): Replayer
  /** Writes a dead letter as a consumer does, and returns its number and the id of its message. */
  die(payload?: string, contentType?: string): Promise<{ readonly number: number; readonly id: string }>
  effects(): Promise<string[]>
  letter(id: string): Promise<Record<string, unknown> | undefined>
}

type Handle = (id: string, tx: PgClient, attempt: number) => Promise<void> | void

/** A consumer of its own, whose handler notes each message and then does what it is told. */
function scene(handle: Handle = () => {}, entry: Partial<HandlerEntry> = {}): Scene {
  const consumer = `consumer-${++consumers}`
  const events: ConsumerEvent[] = []
  const handlers = new Map<string, HandlerEntry>([
    [
      'orders',
      {
        channel: defineChannel<string>({ name: 'orders', key: (name) => name }),
        form: 'inbox',
        async handle({ id }, { tx, attempt }) {
          await (tx as PgClient).query('insert into effects (consumer, id) values ($1, $2)', [consumer, id])
          await handle(id, tx as PgClient, attempt)
        },
        ...entry,
      },
    ],
  ])
  return {
    consumer,
    events,
    start(changes = {}) {
      const replayer = new Replayer({
        consumer,
        handlers,
        inbox: store.inbox,
        transactions: store.transactions,
        replays: store.replays,
        handlerTimeoutMs: 5000,
        idleTimeoutMs: 6000,
        maxAttempts: 3,
        trouble: { initialMs: 5, maxMs: 20 },
        stopTimeoutMs: 5000,
        intervalMs: 5,
        clock: systemClock,
        random: () => 1,
        logger: silentLogger,
        onEvent: (event) => events.push(event),
        ...changes,
      })
      onTestFinished(() => replayer.stop())
      replayer.start()
      return replayer
    },
    async die(payload = '"o"', contentType = 'application/json') {
      const id = newMessageId()
      const envelope = {
        id,
        channel: 'orders',
        key: 'k',
        payload: Buffer.from(payload),
        contentType,
        headers: {},
        createdAt: new Date(),
      }
      await store.inbox.bury(consumer, {
        envelope,
        attempts: 3,
        reason: 'attempts-exhausted',
        errorCode: 'OLD',
        error: 'old',
      })
      await observer.query(
        `update waybill.inbox set processed_at = now() - interval '9 days' where message_id = $1`,
        [id],
      )
      const [letter] = await store.deadLetters.find({ id })
      return { number: letter!.number, id }
    },
    async effects() {
      const { rows } = await observer.query('select id from effects where consumer = $1', [consumer])
      return rows.map(({ id }) => id as string)
    },
    async letter(id) {
      const [letter] = await store.deadLetters.find({ id })
      return letter === undefined ? undefined : { ...letter }
    },
  }
}

async function ask(...numbers: number[]): Promise<number> {
  return (await store.deadLetters.replay({ numbers })).asked
}

const gone = (at: Scene, id: string): Promise<unknown> =>
  until('the dead letter is gone', async () => (await at.letter(id)) === undefined)

async function starts(id: string): Promise<number | undefined> {
  const { rows } = await observer.query('select starts from waybill.attempts where message_id = $1', [id])
  return rows[0]?.starts as number | undefined
}

describe('a dead letter that came from a broker', () => {
  test('is run by a process of its consumer once it is asked for, and not before', async () => {
    const at = scene()
    const [one, two] = [await at.die(), await at.die()]
    at.start()
    expect(await ask(two.number)).toBe(1)
    await gone(at, two.id)
    expect(await at.effects()).toEqual([two.id])
    expect(await at.letter(one.id)).toMatchObject({ replayAt: null })
    expect(at.events).toEqual([{ type: 'handled', consumer: at.consumer, channel: 'orders', count: 1 }])
  })

  test('keeps its inbox row, as of now: a copy that comes again is not run', async () => {
    const at = scene()
    const { id, number } = await at.die()
    at.start()
    await ask(number)
    await gone(at, id)
    const { rows } = await observer.query(
      `select processed_at > now() - interval '1 hour' as is_fresh from waybill.inbox where message_id = $1`,
      [id],
    )
    expect(rows).toEqual([{ is_fresh: true }])
    const admitted = await store.transactions.run({ idleTimeoutMs: 1000 }, ({ executor }) =>
      store.inbox.admit(executor, at.consumer, [id]),
    )
    expect([...admitted]).toEqual([])
  })

  test('is asked for once, however often somebody presses (F40)', async () => {
    const at = scene()
    const { number } = await at.die()
    expect(await ask(number)).toBe(1)
    expect(await store.deadLetters.replay({ numbers: [number] })).toEqual({
      returned: 0,
      asked: 0,
      left: [{ why: 'asked-already', count: 1 }],
    })
  })

  test('is run once by several processes that look at once', async () => {
    const at = scene()
    const letters: Awaited<ReturnType<Scene['die']>>[] = []
    for (let i = 0; i < 12; i++) letters.push(await at.die())
    await ask(...letters.map(({ number }) => number))
    for (let i = 0; i < 4; i++) at.start()
    for (const { id } of letters) await gone(at, id)
    expect((await at.effects()).toSorted()).toEqual(letters.map(({ id }) => id).toSorted())
  })

  test('that fails again stays one, with its attempts added up and its first error kept', async () => {
    const at = scene(() => {
      throw Object.assign(new Error('still closed'), { code: 'NEW' })
    })
    const { id, number } = await at.die()
    at.start()
    await ask(number)
    await until('it failed', () => at.events.some(({ type }) => type === 'dead'))
    expect(await at.letter(id)).toMatchObject({
      number,
      attempts: 4,
      errorCode: 'NEW',
      error: 'still closed',
      firstErrorCode: 'OLD',
      replayAt: null,
    })
    expect(await at.effects()).toEqual([])
    expect(await starts(id)).toBeUndefined()
    expect(await ask(number)).toBe(1)
  })

  test('whose handler ends its process is given up after its attempts, and no crash loop (O6)', async () => {
    const at = scene()
    const { id, number } = await at.die()
    await ask(number)
    for (let crash = 1; crash <= 3; crash++) {
      // Claimed, begun, and never heard of again.
      expect(await store.replays.claim(at.consumer, ['orders'], 0)).toMatchObject({ number, starts: crash })
    }
    at.start()
    await until('it was given up', () => at.events.some(({ type }) => type === 'dead'))
    expect(await at.letter(id)).toMatchObject({ attempts: 6, errorCode: 'WB_HANDLER_FAILED', replayAt: null })
    expect(await at.effects()).toEqual([])
  })

  test('is not claimed by another process while one has it', async () => {
    const at = scene()
    const { number } = await at.die()
    await ask(number)
    expect(await store.replays.claim(at.consumer, ['orders'], 60_000)).toMatchObject({ number })
    expect(await store.replays.claim(at.consumer, ['orders'], 60_000)).toBeNull()
    expect(await store.replays.claim(at.consumer, ['others'], 60_000)).toBeNull()
  })

  test('goes back, with no start counted, when its consumer stops in the middle', async () => {
    const entered = Promise.withResolvers<void>()
    const at = scene(async () => {
      entered.resolve()
      await new Promise(() => {})
    })
    const { id, number } = await at.die()
    await ask(number)
    const replayer = at.start({ stopTimeoutMs: 1 })
    await entered.promise
    await replayer.stop()
    await until('it is released', async () => (await starts(id)) === 0)
    expect(await at.effects()).toEqual([])
    expect(await store.replays.claim(at.consumer, ['orders'], 0)).toMatchObject({ number, starts: 1 })
  })

  test('is left to an operator who purged it meanwhile', async () => {
    const at = scene()
    const { id, number } = await at.die()
    await ask(number)
    const claimed = await store.replays.claim(at.consumer, ['orders'], 60_000)
    expect(await store.deadLetters.purge({ numbers: [number] })).toMatchObject({ purged: 1 })
    const isTaken = await store.transactions.run({ idleTimeoutMs: 1000 }, ({ executor }) =>
      store.replays.take(executor, at.consumer, claimed!),
    )
    expect(isTaken).toBe(false)
    await store.replays.fail(at.consumer, claimed!, { attempts: 1, errorCode: 'E', error: 'e' })
    expect(await at.letter(id)).toBeUndefined()
  })
})

describe('a replay that cannot be', () => {
  const given = async (
    at: Scene,
    letter: { readonly number: number; readonly id: string },
  ): Promise<unknown> => {
    at.start()
    await ask(letter.number)
    await until('it was refused', () => at.events.some(({ type }) => type === 'dead'))
    expect(await at.effects()).toEqual([])
    return await at.letter(letter.id)
  }

  test('of a transform is refused with words', async () => {
    const at = scene(undefined, { form: 'transform' })
    expect(await given(at, await at.die())).toMatchObject({
      errorCode: 'WB_GUARANTEE_UNSUPPORTED',
      error: expect.stringContaining('Send it again at its source'),
      attempts: 3,
      replayAt: null,
    })
  })

  test('of what still cannot be decoded is one more failure', async () => {
    const at = scene()
    expect(await given(at, await at.die('{"', 'application/json'))).toMatchObject({
      errorCode: 'WB_ENVELOPE_INVALID',
      attempts: 4,
    })
  })

  test('of bytes that never were a message is refused with words', async () => {
    const at = scene()
    const letter = await at.die()
    await observer.query(`update waybill.dead set headers = '{"waybill-stream":"orders/0"}' where id = $1`, [
      letter.id,
    ])
    expect(await given(at, letter)).toMatchObject({ error: expect.stringContaining('Purge it'), attempts: 3 })
  })
})

test('looking for replays costs a few pages, however many dead letters are there (P10)', async () => {
  const connections = new Connections({ connectionString: url }, context)
  const connection = connections.open('inbox', { setUp: 'set plan_cache_mode to force_generic_plan' })
  onTestFinished(() => connections.closeAll())
  // Made while the table is all but empty.
  const claim = await prepare(connection, 'claim', claimReplayText('"waybill"'))
  await claim(['crowd', ['orders'], 1000])
  await observer.query(
    `insert into waybill.dead (consumer, id, channel, key, payload, content_type, headers, created_at, attempts, reason, error_code,
       error)
     select 'crowd', gen_random_uuid(), 'orders', 'k', 'x', 'text/plain', '{}', now(), 1, 'rejected', 'E', 'e'
     from generate_series(1, 30000)`,
  )
  expect(blocks(await claim(['crowd', ['orders'], 1000]))).toBeLessThan(20)
  await observer.query(
    `update waybill.dead set replay_at = now() where number = (select max(number) from waybill.dead where consumer = 'crowd')`,
  )
  const plan = await claim(['crowd', ['orders'], 1000])
  expect(fullPasses(plan)).toEqual([])
  expect(blocks(plan)).toBeLessThan(100)
  expect(await store.replays.claim('crowd', ['orders'], 1000)).toBeNull()
})

describe('of an at-most-once channel', () => {
  test('a dead letter is run at most once: it has gone before its handler starts, and a failure is a loss', async () => {
    const seen: string[] = []
    const at = scene(
      async (id) => {
        seen.push(`${id} ${(await store.deadLetters.find({ id })).length}`)
        throw new Error('no')
      },
      { form: 'settle-first' },
    )
    const { id, number } = await at.die()
    at.start()
    await ask(number)
    await until('it is counted as lost', async () => {
      const { rows } = await observer.query('select cause from waybill.losses where consumer = $1', [
        at.consumer,
      ])
      return rows[0]?.cause === 'handler-failed'
    })
    expect(seen).toEqual([`${id} 0`])
    expect(await at.letter(id)).toBeUndefined()
  })
})
