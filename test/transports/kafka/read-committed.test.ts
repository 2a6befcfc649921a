import { beforeAll, expect, it, onTestFinished } from 'vitest'
import type { Subscription } from '../../../src/ports/transport.ts'
import { until } from '../../../src/testing/until.ts'
import { describeWithKafka, kafkaBrokers } from '../../setup/servers.ts'
import { createTopic } from './broker-desk.ts'
import { openTransport, receiveUntil, subscribe, textOf } from './scene.ts'
import { openWriter, readByJava, writePlainly } from './transactions.ts'

// Each case is judged by what Java's own consumer reads of the same topic, never by this client.
describeWithKafka('what a Kafka subscription reads of transactions', () => {
  let brokers: string[]
  let topic: string

  beforeAll(async () => {
    brokers = await kafkaBrokers()
  })

  /** Reads up to the last record, which stands outside of transactions: whoever reads as many has read all. */
  async function readAll(): Promise<string[]> {
    await writePlainly(brokers, topic, 'last')
    const subscription = await subscribe(openTransport(brokers), [topic])
    return (await receiveUntil(subscription, (all) => all.some((next) => textOf(next) === 'last'))).map(
      textOf,
    )
  }

  it('leaves out several aborts of one producer in one fetch, between what it committed', async () => {
    topic = await createTopic(brokers, 1)
    const writer = openWriter(brokers, topic)
    for (let i = 0; i < 12; i++) {
      const transaction = await writer.begin()
      await writer.write(transaction, `${i}a`, `${i}b`)
      await (i % 3 === 0 ? transaction.commit() : transaction.abort())
    }
    const read = await readAll()
    expect(read).toEqual([...[0, 3, 6, 9].flatMap((i) => [`${i}a`, `${i}b`]), 'last'])
    expect(await readByJava(brokers, topic, read.length)).toEqual(read)
  })

  it('leaves out what was aborted where the marker comes many fetches later', async () => {
    topic = await createTopic(brokers, 1)
    const [one, two] = [openWriter(brokers, topic), openWriter(brokers, topic)]
    const aborted = await one.begin()
    // Of one partition a fetch takes a mebibyte: no two of these come in one.
    const large = 'x'.repeat(700_000)
    for (let i = 0; i < 4; i++) {
      await one.write(aborted, `aborted ${i} ${large}`)
      const transaction = await two.begin()
      await two.write(transaction, `committed ${i} ${large}`)
      await transaction.commit()
      await writePlainly(brokers, topic, `plain ${i}`)
    }
    await aborted.abort()
    const next = await one.begin()
    await one.write(next, 'committed after it')
    await next.commit()
    const read = (await readAll()).map((text) => text.replace(` ${large}`, ''))
    expect(read).toEqual([
      ...[0, 1, 2, 3].flatMap((i) => [`committed ${i}`, `plain ${i}`]),
      'committed after it',
      'last',
    ])
    const byJava = await readByJava(brokers, topic, read.length)
    expect(byJava.map((text) => text.replace(` ${large}`, ''))).toEqual(read)
  })

  it('is not misled by markers of transactions that wrote nothing, and moves past a log of nothing else', async () => {
    topic = await createTopic(brokers, 1)
    const writer = openWriter(brokers, topic)
    for (const text of ['first', 'second']) {
      const transaction = await writer.begin()
      await writer.write(transaction, text)
      await transaction.commit()
      for (let i = 0; i < 3; i++) {
        const empty = await writer.begin()
        await writer.touch(empty)
        await empty.abort()
      }
    }
    for (let i = 0; i < 3; i++) {
      const aborted = await writer.begin()
      await writer.write(aborted, 'aborted')
      await aborted.abort()
    }
    const read = await readAll()
    expect(read).toEqual(['first', 'second', 'last'])
    expect(await readByJava(brokers, topic, read.length)).toEqual(read)
  })

  it('delivers nothing behind a transaction that is open, until it ends', async () => {
    topic = await createTopic(brokers, 1)
    const [open, other] = [openWriter(brokers, topic), openWriter(brokers, topic)]
    await writePlainly(brokers, topic, 'before')
    const transaction = await open.begin()
    await open.write(transaction, 'in the open one')
    const aborted = await other.begin()
    await other.write(aborted, 'aborted behind it')
    await aborted.abort()
    await writePlainly(brokers, topic, 'behind it')

    // One fetch asks for both topics: what comes of the other one tells that this one was asked, too.
    const elsewhere = await createTopic(brokers, 1)
    const received: string[] = []
    collect(await subscribe(openTransport(brokers), [topic, elsewhere]), received)
    for (let i = 0; i < 5; i++) {
      await writePlainly(brokers, elsewhere, `elsewhere ${i}`)
      await until('what is in the other topic', () => received.includes(`elsewhere ${i}`))
    }
    const ofTopic = (): string[] => received.filter((text) => !text.startsWith('elsewhere'))
    expect(ofTopic()).toEqual(['before'])
    await transaction.commit()
    await until('what is behind it', () => ofTopic().length > 2)
    expect(ofTopic()).toEqual(['before', 'in the open one', 'behind it'])
    expect(await readByJava(brokers, topic, 3)).toEqual(ofTopic())
  })
})

function collect(subscription: Subscription, into: string[]): void {
  const stop = new AbortController()
  onTestFinished(() => stop.abort())
  void (async () => {
    while (!stop.signal.aborted) into.push(...(await subscription.receive(100, stop.signal)).map(textOf))
  })()
}
