import { expect, it } from 'vitest'
import type { FencedOutcome, FencedPublisher } from '../../../src/ports/transport.ts'
import { describeWithKafka } from '../../setup/servers.ts'
import { createTopic } from './broker-desk.ts'
import {
  fenceAt,
  openFencedPublisher,
  outcomeOf,
  rowsOf,
  rowsTo,
  seenByJava,
  service,
} from './fenced-scene.ts'
import { proxiedKafka } from './scene.ts'

const timeoutMs = 20_000
const endTransaction = 26
const addPartitions = 24
const produce = 0

/** Whether a chunk begins a request of this kind. */
function asks(api: number): (chunk: Buffer) => boolean {
  return (chunk) => chunk.length > 8 && chunk.readInt16BE(4) === api
}

describeWithKafka('a fenced Kafka publisher whose broker is in trouble', () => {
  const kafka = proxiedKafka()
  let topic: string
  let publisher: FencedPublisher

  /** A publisher that has committed its first ten rows. */
  const warm = async (): Promise<void> => {
    topic = await createTopic(kafka.brokers, 1)
    publisher = await openFencedPublisher(kafka.brokers, service())
    await publisher.takeOver(0, timeoutMs)
    expect(outcomeOf(await write(1n))).toBe('committed')
  }

  const batch = (number: bigint): ReturnType<typeof rowsTo> => rowsTo(topic, 10 * Number(number) - 9, 10)
  const sent = new Map<bigint, ReturnType<typeof rowsTo>>()

  const write = (number: bigint, timeout = timeoutMs): Promise<FencedOutcome> => {
    const rows = batch(number)
    sent.set(number, rows)
    return publisher.publish(0, { epoch: 1n, number }, rows, timeout)
  }

  const expectSeen = async (...numbers: readonly bigint[]): Promise<void> => {
    const seen = await seenByJava(kafka.brokers, topic, 10 * numbers.length)
    expect(seen.map(({ text }) => Number(text))).toEqual(
      numbers.flatMap((number) => batch(number).map(({ seq }) => Number(seq))),
    )
  }

  it.each([
    ['an answer to its partitions', addPartitions],
    ['an answer to its records', produce],
    ['the answer to its commit', endTransaction],
  ])('commits once where %s is lost on the way', async (_, api) => {
    await warm()
    const lost = kafka.proxy.dropReplies({ request: asks(api) })
    const outcome = write(2n)
    await lost
    expect(outcomeOf(await outcome)).toBe('committed')
    expect(outcomeOf(await write(3n))).toBe('committed')
    await expectSeen(1n, 2n, 3n)
  })

  it('says "unknown" where the answer to its commit is lost with the broker, and learns that it is there', async () => {
    await warm()
    const lost = kafka.proxy.dropReplies({
      request: (chunk) => {
        if (!asks(endTransaction)(chunk)) return false
        kafka.proxy.refuse()
        return true
      },
    })
    const outcome = write(2n, 1000)
    await lost
    expect(outcomeOf(await outcome)).toBe('unknown: WB_PUBLISH_OUTCOME_UNKNOWN')
    // Only a take-over goes on.
    expect(outcomeOf(await write(3n))).toBe('rejected')
    await expect(publisher.takeOver(0, 500)).rejects.toMatchObject({
      code: 'WB_BROKER_UNREACHABLE',
      retryable: 'yes',
    })
    await kafka.proxy.heal()
    const { last } = await publisher.takeOver(0, timeoutMs)
    expect(last?.number).toBe(2n)
    expect(outcomeOf(await write(3n))).toBe('committed')
    await expectSeen(1n, 2n, 3n)
  })

  it('gives a take-over up at once where the partition is released in the middle of it, and takes over anew', async () => {
    await warm()
    kafka.proxy.blackHole()
    const taking = publisher.takeOver(0, 600_000)
    await publisher.release(0)
    await expect(taking).rejects.toMatchObject({ code: 'WB_ABORTED' })
    await kafka.proxy.heal()
    const { last } = await publisher.takeOver(0, timeoutMs)
    expect(last?.number).toBe(1n)
  })

  it('says "unknown" where its commit is lost on the way, and learns that it is not there', async () => {
    await warm()
    const first = sent.get(1n)!
    const { promise: asked, resolve } = Promise.withResolvers<void>()
    void kafka.proxy.dropReplies({
      request: (chunk) => {
        if (asks(endTransaction)(chunk)) {
          kafka.proxy.halfOpen()
          resolve()
        }
        return false
      },
    })
    const outcome = write(2n, 1000)
    await asked
    expect(outcomeOf(await outcome)).toBe('unknown: WB_PUBLISH_OUTCOME_UNKNOWN')
    await kafka.proxy.heal()
    const { last } = await publisher.takeOver(0, timeoutMs)
    expect(last).toEqual({ epoch: 1n, number: 1n, rows: rowsOf(first) })
    expect(outcomeOf(await write(2n))).toBe('committed')
    await expectSeen(1n, 2n)
  })

  it.each([
    ['is stopped', () => kafka.server.pause(), () => kafka.server.resume()],
    ['is behind a black hole', () => kafka.proxy.blackHole(), () => kafka.proxy.heal()],
    ['cannot be reached', () => (kafka.proxy.refuse(), kafka.proxy.reset()), () => kafka.proxy.heal()],
  ])(
    'knows that nothing of it will be seen where the broker %s before the commit, and goes on when it is back',
    async (_, begin, end) => {
      await warm()
      await begin()
      try {
        const outcome = await write(2n, 700)
        if (outcome.outcome !== 'rejected') throw new Error(outcome.outcome)
        for (const fate of outcome.fates) {
          expect(fate).toMatchObject({ outcome: 'rejected', scope: 'destination', retryable: true })
        }
        expect(outcomeOf(await write(2n, 300))).toBe('rejected')
      } finally {
        await end()
      }
      expect(outcomeOf(await write(2n))).toBe('committed')
      expect(outcomeOf(await write(3n))).toBe('committed')
      await expectSeen(1n, 2n, 3n)
    },
  )

  it('aborts a transaction whose records were written, and nothing of it gets into the next', async () => {
    await warm()
    // The records arrive; the answer, and all that would follow, does not.
    const written = kafka.proxy.dropReplies({
      request: (chunk) => {
        if (!asks(produce)(chunk)) return false
        kafka.proxy.refuse()
        return true
      },
    })
    const outcome = write(2n, 700)
    await written
    expect(outcomeOf(await outcome)).toBe('rejected')
    await kafka.proxy.heal()
    const other = rowsTo(topic, 901, 10)
    expect(outcomeOf(await publisher.publish(0, { epoch: 1n, number: 2n }, other, timeoutMs))).toBe(
      'committed',
    )
    const seen = await seenByJava(kafka.brokers, topic, 20)
    expect(seen.map(({ text }) => Number(text))).toEqual([
      ...batch(1n).map(({ seq }) => Number(seq)),
      ...other.map(({ seq }) => Number(seq)),
    ])
    expect((await publisher.takeOver(0, timeoutMs)).last?.rows).toEqual(rowsOf(other))
  })

  it('does not take its partition back where it was taken over while it was away', async () => {
    topic = await createTopic(kafka.brokers, 1)
    const own = service()
    const zombie = await openFencedPublisher(kafka.brokers, own)
    await zombie.takeOver(0, timeoutMs)
    // Its transaction is open at the broker, and it cannot abort it yet.
    const written = kafka.proxy.dropReplies({
      request: (chunk) => {
        if (!asks(produce)(chunk)) return false
        kafka.proxy.refuse()
        return true
      },
    })
    const outcome = zombie.publish(0, { epoch: 1n, number: 1n }, rowsTo(topic, 101, 10), 500)
    await written
    expect(outcomeOf(await outcome)).toBe('rejected')
    // By hand, since the only way that the broker names is closed.
    await fenceAt(kafka.server.port, `${own.transactionalIdPrefix}-outbox-0`)
    await kafka.proxy.heal()
    expect(await zombie.publish(0, { epoch: 1n, number: 1n }, rowsTo(topic, 101, 10), timeoutMs)).toEqual({
      outcome: 'fenced',
    })
    const successor = await openFencedPublisher(kafka.brokers, own)
    expect((await successor.takeOver(0, timeoutMs)).last).toBeNull()
    const rows = rowsTo(topic, 201, 10)
    expect(outcomeOf(await successor.publish(0, { epoch: 2n, number: 1n }, rows, timeoutMs))).toBe(
      'committed',
    )
    const seen = await seenByJava(kafka.brokers, topic, 10)
    expect(seen.map(({ text }) => Number(text))).toEqual(rows.map(({ seq }) => Number(seq)))
  })
})
