import { beforeAll, expect, it } from 'vitest'
import type { FencedMessage, FencedOutcome, FencedPublisher } from '../../../src/ports/transport.ts'
import type { KafkaTransportOptions } from '../../../src/transports/kafka/options.ts'
import { describeWithKafka, kafkaBrokers } from '../../setup/servers.ts'
import { createTopic, deleteTopic } from './broker-desk.ts'
import { openFencedPublisher, outcomeOf, rowsOf, rowsTo, seenByJava, service } from './fenced-scene.ts'
import { codeOf, messageTo, newTopic } from './scene.ts'

const timeoutMs = 20_000

describeWithKafka('what a fenced Kafka publisher cannot write', () => {
  let brokers: string[]

  beforeAll(async () => {
    brokers = await kafkaBrokers()
  })

  const taken = async (options: Partial<KafkaTransportOptions> = {}): Promise<FencedPublisher> => {
    const publisher = await openFencedPublisher(brokers, { ...service(), ...options })
    await publisher.takeOver(0, timeoutMs)
    return publisher
  }

  const publish = (
    publisher: FencedPublisher,
    number: bigint,
    messages: readonly FencedMessage[],
  ): Promise<FencedOutcome> => publisher.publish(0, { epoch: 1n, number }, messages, timeoutMs)

  it('tells which message the broker found too large; nothing of its transaction is seen, and the next one works', async () => {
    const topic = await createTopic(brokers, 1, { 'max.message.bytes': '20000' })
    const publisher = await taken()
    const batch = rowsTo(topic, 1, 40)
    const large = { ...messageTo(topic, 'b', { payload: Buffer.alloc(30_000) }), seq: 99n }
    const outcome = await publish(publisher, 1n, [...batch.slice(0, 21), large, ...batch.slice(21)])
    if (outcome.outcome !== 'rejected') throw new Error(outcome.outcome)
    expect(outcome.fates[21]).toMatchObject({
      outcome: 'rejected',
      scope: 'message',
      retryable: false,
      code: 'MESSAGE_TOO_LARGE',
    })
    const others = outcome.fates.filter((_, i) => i !== 21)
    expect(others).toHaveLength(40)
    for (const fate of others) {
      expect(fate).toMatchObject({
        outcome: 'rejected',
        scope: 'message',
        retryable: true,
        code: 'WB_ABORTED',
      })
    }
    expect(outcomeOf(await publish(publisher, 1n, batch))).toBe('committed')
    expect((await publisher.takeOver(0, timeoutMs)).last).toEqual({
      epoch: 1n,
      number: 1n,
      rows: rowsOf(batch),
    })
    const seen = await seenByJava(brokers, topic, batch.length)
    expect(seen.map(({ text }) => Number(text))).toEqual(batch.map(({ seq }) => Number(seq)))
  })

  it('writes in smaller batches where only their size is the trouble', async () => {
    const topic = await createTopic(brokers, 1, { 'max.message.bytes': '20000' })
    const publisher = await taken()
    const batch = rowsTo(topic, 1, 300).map((row) => ({
      ...row,
      envelope: { ...row.envelope, payload: Buffer.from(`${row.seq} ${'x'.repeat(500)}`) },
    }))
    expect(outcomeOf(await publish(publisher, 1n, batch))).toBe('committed')
    const seen = await seenByJava(brokers, topic, batch.length)
    expect(seen.map(({ text }) => Number(text.split(' ')[0]))).toEqual(batch.map(({ seq }) => Number(seq)))
  })

  it('names the topic that is missing, and what cannot be a record, before it begins', async () => {
    const [missing, there] = [newTopic(), await createTopic(brokers, 1)]
    const own = service()
    await taken(own)
    const publisher = await taken({ ...own, createTopics: false, maxBytes: 50_000 })
    const fates = async (...messages: FencedMessage[]): Promise<string[]> => {
      const outcome = await publish(publisher, 1n, messages)
      if (outcome.outcome !== 'rejected') throw new Error(outcome.outcome)
      return outcome.fates.map(codeOf)
    }
    const row = (address: string, more = {}): FencedMessage => ({ ...messageTo(address, 'k', more), seq: 1n })
    expect(await fates(row(missing), row(there))).toEqual(['UNKNOWN_TOPIC_OR_PARTITION', 'WB_ABORTED'])
    expect(await fates(row(there), row(there, { payload: Buffer.alloc(60_000) }))).toEqual([
      'WB_ABORTED',
      'WB_MESSAGE_TOO_LARGE',
    ])
    expect(await fates(row(there, { createdAt: new Date(Number.NaN) }))).toEqual(['WB_ENVELOPE_INVALID'])
    expect(await publish(publisher, 1n, [])).toEqual({ outcome: 'rejected', fates: [] })
    expect(outcomeOf(await publish(publisher, 1n, [row(there)]))).toBe('committed')
  })

  it('writes nothing for a partition that is not taken over', async () => {
    const publisher = await taken()
    const row = { ...messageTo(newTopic(), 'k'), seq: 1n }
    const refused = { outcome: 'rejected', fates: [expect.objectContaining({ code: 'WB_NOT_RUNNING' })] }
    expect(await publisher.publish(1, { epoch: 1n, number: 1n }, [row], timeoutMs)).toEqual(refused)
    await publisher.release(0)
    expect(await publish(publisher, 1n, [row])).toEqual(refused)
    await publisher.close()
    await expect(publisher.takeOver(0, timeoutMs)).rejects.toMatchObject({ code: 'WB_NOT_RUNNING' })
  })

  it('says "unknown" where the topic of its notes has gone, and finds another lineage', async () => {
    const own = service()
    const publisher = await openFencedPublisher(brokers, own)
    const before = await publisher.takeOver(0, timeoutMs)
    const topic = await createTopic(brokers, 1)
    expect(outcomeOf(await publish(publisher, 1n, rowsTo(topic, 1, 3)))).toBe('committed')
    await deleteTopic(brokers, own.positionsTopic!)
    const lost = await publisher.publish(0, { epoch: 1n, number: 2n }, rowsTo(topic, 4, 3), 3000)
    expect(outcomeOf(lost)).toBe('unknown: UNKNOWN_TOPIC_OR_PARTITION')
    const after = await publisher.takeOver(0, timeoutMs)
    expect(after.last).toBeNull()
    expect(after.lineage).not.toBe(before.lineage)
    expect(after.lineage.split('/')[0]).toBe(before.lineage.split('/')[0])
  })
})
