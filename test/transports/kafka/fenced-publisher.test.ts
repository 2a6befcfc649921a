import { beforeAll, expect, it } from 'vitest'
import { describeWithKafka, kafkaBrokers } from '../../setup/servers.ts'
import { createTopic } from './broker-desk.ts'
import { openFencedPublisher, outcomeOf, rowsOf, rowsTo, seenByJava, service } from './fenced-scene.ts'

const timeoutMs = 20_000

describeWithKafka('a fenced Kafka publisher', () => {
  let brokers: string[]

  beforeAll(async () => {
    brokers = await kafkaBrokers()
  })

  it('writes transactions that Java’s read_committed consumer sees once and in order, and tells the last of them', async () => {
    const topic = await createTopic(brokers, 3)
    const own = service()
    const publisher = await openFencedPublisher(brokers, own)
    const first = await publisher.takeOver(5, timeoutMs)
    expect(first.last).toBeNull()
    const batches = [rowsTo(topic, 1, 50), rowsTo(topic, 51, 50), rowsTo(topic, 101, 50)]
    for (const [i, batch] of batches.entries()) {
      const note = { epoch: 7n, number: BigInt(i + 1) }
      expect(outcomeOf(await publisher.publish(5, note, batch, timeoutMs))).toBe('committed')
    }
    const seen = await seenByJava(brokers, topic, 150)
    expect(seen.map(({ text }) => Number(text)).sort((a, b) => a - b)).toEqual(
      Array.from({ length: 150 }, (_, i) => i + 1),
    )
    for (const wanted of ['a', 'b', 'c']) {
      const ofKey = seen.filter(({ key }) => key === wanted).map(({ text }) => Number(text))
      expect(ofKey).toEqual([...ofKey].sort((a, b) => a - b))
    }
    const again = await openFencedPublisher(brokers, own)
    const { last, lineage } = await again.takeOver(5, timeoutMs)
    expect(last).toEqual({ epoch: 7n, number: 3n, rows: rowsOf(batches[2]!) })
    expect(lineage).toBe(first.lineage)
  })

  it('writes 10,000 messages of 500 bytes in one transaction, with a note of them all', async () => {
    const topic = await createTopic(brokers, 4)
    const own = service()
    const publisher = await openFencedPublisher(brokers, own)
    await publisher.takeOver(0, timeoutMs)
    const keys = Array.from({ length: 100 }, (_, i) => `key-${i}`)
    const rows = rowsTo(topic, 1_000_000_000, 10_000, keys).map((row) => ({
      ...row,
      envelope: { ...row.envelope, payload: Buffer.from(String(row.seq).padEnd(500, '.')) },
    }))
    const outcome = await publisher.publish(0, { epoch: 1n, number: 1n }, rows, timeoutMs)
    expect(outcomeOf(outcome)).toBe('committed')
    expect((await publisher.takeOver(0, timeoutMs)).last).toEqual({
      epoch: 1n,
      number: 1n,
      rows: rowsOf(rows),
    })
    const seen = await seenByJava(brokers, topic, 10_000)
    const ofKey = new Map<string, number[]>(keys.map((key) => [key, []]))
    for (const { key, text } of seen) ofKey.get(key)!.push(Number.parseInt(text, 10))
    for (const [i, key] of keys.entries()) {
      expect(ofKey.get(key)).toEqual(Array.from({ length: 100 }, (_, j) => 1_000_000_000 + i + 100 * j))
    }
  })
})
