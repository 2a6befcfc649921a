import { randomUUID } from 'node:crypto'
import { expect, test } from 'vitest'
import type { CensusLane, CensusReport } from '../../../src/kernel/census.ts'
import { postgresDatabase } from '../../setup/servers.ts'
import { connect, message, openDesk, openStore, openStreet, publish, type Street } from './support.ts'

const { url } = await postgresDatabase()
const store = openStore({ connectionString: url })
await store.schema.migrate()
const observer = await connect(url)

function look(mostRows = 1000, oldTransactionMs = 60_000): Promise<CensusReport> {
  return store.census.look({ mostRows, oldTransactionMs })
}

function laneOf(report: CensusReport, { channel }: Street, consumer = ''): CensusLane {
  const lane = report.lanes?.find((each) => each.channel === channel && each.consumer === consumer)
  expect(lane).toBeDefined()
  return lane!
}

const idle = {
  pending: 0,
  delayed: 0,
  isAtLeast: false,
  oldestMs: null,
  retrying: 0,
  blocked: 0,
  parked: 0,
  isFailingAtLeast: false,
}

test('a channel without messages has a line, and no lag', async () => {
  const street = await openStreet(url, store)
  expect(laneOf(await look(), street)).toEqual({
    channel: street.channel,
    transport: street.transport,
    consumer: '',
    ...idle,
  })
})

test('counts what waits by channel, and its lag by the clock of the database', async () => {
  const [street, other] = [await openStreet(url, store), await openStreet(url, store)]
  await publish(store, observer, street.channel, message('a'), message('a'), message('b'))
  await publish(store, observer, other.channel, message('a'))
  // Long ago for the database; this process's clock has no say.
  await observer.query(
    `update waybill.outbox set created_at = created_at - interval '1 hour'
     where seq = (select min(seq) from waybill.outbox where channel = $1)`,
    [street.channel],
  )
  const report = await look()
  const lane = laneOf(report, street)
  expect(lane).toMatchObject({ pending: 3, delayed: 0, isAtLeast: false })
  expect(lane.oldestMs).toBeGreaterThanOrEqual(3_600_000)
  expect(laneOf(report, other)).toMatchObject({ pending: 1 })
  expect(laneOf(report, other).oldestMs).toBeLessThan(3_600_000)
})

test('a delayed message has no lag until it is due, and then one from that moment', async () => {
  const street = await openStreet(url, store, { ordered: false })
  await publish(store, observer, street.channel, message(null), message(null))
  await observer.query(
    `update waybill.outbox set created_at = now() - interval '3 hours',
       not_before = now() + case when seq = (select min(seq) from waybill.outbox where channel = $1)
         then interval '1 hour' else interval '-1 hour' end
     where channel = $1`,
    [street.channel],
  )
  const lane = laneOf(await look(), street)
  expect(lane).toMatchObject({ pending: 1, delayed: 1 })
  expect(lane.oldestMs).toBeGreaterThanOrEqual(3_600_000)
  expect(lane.oldestMs).toBeLessThan(2 * 3_600_000)
})

test('each consumer of the database has its own undelivered messages and its own lag', async () => {
  const street = await openStreet(url, store, { consumers: ['one', 'two'] })
  const [old] = await publish(store, observer, street.channel, message('a'), message('b'))
  await observer.query(
    `update waybill.outbox set created_at = created_at - interval '1 hour' where id = $1`,
    [old],
  )
  await observer.query(`insert into waybill.inbox (consumer, message_id) values ('one', $1)`, [old])
  const report = await look()
  expect(laneOf(report, street, 'one')).toMatchObject({ pending: 1 })
  expect(laneOf(report, street, 'one').oldestMs).toBeLessThan(3_600_000)
  expect(laneOf(report, street, 'two')).toMatchObject({ pending: 2 })
  expect(laneOf(report, street, 'two').oldestMs).toBeGreaterThanOrEqual(3_600_000)
})

test('where more waits than may be looked at it tells a lower limit, for the channels of that transport alone', async () => {
  const [street, small] = [await openStreet(url, store), await openStreet(url, store)]
  const many = Array.from({ length: 60 }, (_, i) => message(`key-${i}`))
  await publish(store, observer, street.channel, ...many)
  await publish(store, observer, small.channel, message('a'))
  const report = await look(30)
  const lane = laneOf(report, street)
  expect(lane.isAtLeast).toBe(true)
  expect(lane.pending).toBeGreaterThan(0)
  expect(lane.pending).toBeLessThan(60)
  expect(laneOf(report, small)).toMatchObject({ pending: 1, isAtLeast: false })
  expect(laneOf(await look(10_000), street)).toMatchObject({ pending: 60, isAtLeast: false })
})

test('rows of a channel nobody registered are told, without a transport', async () => {
  await observer.query(
    `insert into waybill.outbox (partition, id, channel, payload) values (900000, gen_random_uuid(), 'nobodys', 'x')`,
  )
  const { lanes } = await look()
  expect(lanes).toContainEqual({
    ...idle,
    channel: 'nobodys',
    transport: null,
    consumer: '',
    pending: 1,
    oldestMs: expect.any(Number),
  })
})

test('lines, dead letters and losses are counted by channel and consumer', async () => {
  const street = await openStreet(url, store, { partitions: 1 })
  const desk = await openDesk(store, street)
  await publish(store, observer, street.channel, message('a'), message('b'), message('c'))
  const [a, b] = await desk.reader.read()
  const failure = { epoch: desk.epoch(street.first), attempts: 1, errorCode: 'E', error: 'e' }
  await desk.outbox.block([{ ...a!, ...failure, retryInMs: 60_000 }])
  await desk.outbox.bury([{ ...b!, ...failure, reason: 'rejected' }])
  await store.inbox.countLosses('far', [
    { channel: street.channel, id: randomUUID(), cause: 'not-begun', code: 'E' },
    { channel: street.channel, id: randomUUID(), cause: 'not-begun', code: 'E' },
  ])
  const report = await look()
  expect(laneOf(report, street)).toMatchObject({ pending: 2, retrying: 1, blocked: 0, parked: 0 })
  expect(report.dead).toContainEqual({ channel: street.channel, consumer: '', count: 1, isAtLeast: false })
  expect(report.losses).toContainEqual({
    channel: street.channel,
    consumer: 'far',
    cause: 'not-begun',
    count: 2,
  })
})

test('where more has failed, or was taken, than may be looked at it tells lower limits, of every channel', async () => {
  const street = await openStreet(url, store, { partitions: 1 })
  const desk = await openDesk(store, street)
  await publish(store, observer, street.channel, message('a'), message('b'), message('c'), message('d'))
  const [a, b, c, d] = await desk.reader.read()
  const failure = { epoch: desk.epoch(street.first), attempts: 1, errorCode: 'E', error: 'e' }
  await desk.outbox.block([
    { ...a!, ...failure, retryInMs: 60_000 },
    { ...b!, ...failure, retryInMs: null },
  ])
  for (const row of [c!, d!]) await desk.outbox.take(randomUUID(), [{ ...row, epoch: failure.epoch }])
  const { rows } = await observer.query('select count(*)::int as n from waybill.blocked')
  const [cut, whole] = [await look(rows[0].n), await look(rows[0].n + 1)]
  expect(laneOf(cut, street)).toMatchObject({ retrying: 1, blocked: 1, isFailingAtLeast: true })
  expect(laneOf(whole, street)).toMatchObject({ retrying: 1, blocked: 1, isFailingAtLeast: false })
  expect(await look(1)).toMatchObject({ taken: 1, isTakenAtLeast: true })
  expect(await look(3)).toMatchObject({ taken: 2, isTakenAtLeast: false })
})

test('partitions of a transport with local consumers are theirs alone: no relay holds any for the transport', async () => {
  const street = await openStreet(url, store, { partitions: 2, consumers: ['one'] })
  const desk = await openDesk(store, street)
  const own = (await look()).partitions.filter(({ transport }) => transport === street.transport)
  expect(own).toMatchObject([{ consumer: 'one', total: 2, unownedCount: 0 }])
  await desk.leases.close()
})

test('relays are told with what they hold and last said; partitions with who lacks an owner', async () => {
  const street = await openStreet(url, store)
  expect((await look()).partitions).toContainEqual({
    ...street.lane,
    total: 4,
    isChanging: false,
    unownedCount: 4,
    unowned: street.partitions,
  })
  const leases = await store.openLeases(street.lane)
  const held = await leases.claim(3)
  const said = { inFlight: { [street.channel]: 7 }, perSecond: { [street.channel]: 1.5 }, stopped: [2] }
  await leases.renew(held, false, said)
  await leases.renew(held, false)
  const report = await look()
  expect(report.relays.find(({ id }) => id === leases.relayId)).toMatchObject({
    ...street.lane,
    pid: process.pid,
    isAlive: true,
    isPooled: false,
    partitions: 3,
    report: said,
  })
  expect(report.partitions).toContainEqual({
    ...street.lane,
    total: 4,
    isChanging: false,
    unownedCount: 1,
    unowned: [street.first + 3],
  })
  await observer.query(`update waybill.relays set lease_until = now() - interval '1 second' where id = $1`, [
    leases.relayId,
  ])
  expect((await look()).relays.find(({ id }) => id === leases.relayId)).toMatchObject({ isAlive: false })
  await leases.close()
})

test('a transaction that stays open is told with its process and age, and so is a prepared one', async () => {
  const writer = await connect(url)
  const { processID } = writer as unknown as { processID: number }
  await writer.query('begin')
  await writer.query('select pg_current_xact_id()')
  await writer.query(`set application_name to 'night job'`)
  const { transactions } = await look(1000, 0)
  const found = transactions.find(({ pid }) => pid === processID)
  expect(found).toMatchObject({ kind: 'session', name: 'night job', hasWritten: true })
  expect(found!.ageMs).toBeGreaterThan(0)
  expect((await look(1000, 3_600_000)).transactions).toEqual([])
  await writer.query(`prepare transaction 'forgotten'`)
  expect((await look(1000, 0)).transactions).toContainEqual({
    kind: 'prepared',
    name: 'forgotten',
    pid: null,
    ageMs: expect.any(Number),
    hasWritten: true,
  })
  await writer.query(`rollback prepared 'forgotten'`)
})

test('a walk that takes too long leaves the lanes unknown, and the rest of the look whole', async () => {
  const hasty = openStore({ connectionString: url }, { statementTimeoutMs: 300 })
  await observer.query('begin')
  // The walk waits for the table; nothing else of the look touches it.
  await observer.query('lock table waybill.outbox in access exclusive mode')
  try {
    const report = await hasty.census.look({ mostRows: 1000, oldTransactionMs: 60_000 })
    expect(report.lanes).toBeNull()
    expect(report.partitions.length).toBeGreaterThan(0)
  } finally {
    await observer.query('rollback')
  }
})
