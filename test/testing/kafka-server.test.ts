import { execFile } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startKafka, type KafkaServer } from '../../src/testing/kafka-server.ts'
import { askMetadata } from '../../src/testing/kafka-wire.ts'
import { freePort, isPortFree } from '../../src/testing/ports.ts'
import { isGone } from '../../src/testing/process-tree.ts'
import { describeWithKafka } from '../setup/servers.ts'
import { isStopped, serverFolder } from './scene.ts'

/** What Java's own console tools print. */
async function java(server: KafkaServer, main: string, args: readonly string[], input = ''): Promise<string> {
  const flags = [
    '-Dorg.slf4j.simpleLogger.defaultLogLevel=off',
    '-XX:TieredStopAtLevel=1',
    '-cp',
    server.classpath,
  ]
  const running = promisify(execFile)('java', [
    ...flags,
    main,
    '--bootstrap-server',
    server.brokers[0]!,
    ...args,
  ])
  running.child.stdin!.end(input)
  return (await running).stdout
}

describeWithKafka('a Kafka broker of one own', () => {
  let server: KafkaServer

  let way: { readonly port: number; readonly advertisedPort: number }

  beforeAll(async () => {
    way = { port: await freePort(), advertisedPort: await freePort() }
    server = await startKafka({ ways: [way] })
  })

  afterAll(async () => {
    await server.stop()
  })

  test('answers when it is started, and makes topics that have leaders', async () => {
    expect(server.brokers).toEqual([`127.0.0.1:${server.port}`])
    expect(await askMetadata(server.port)).toEqual({ brokers: 1, leaders: undefined })
    await server.createTopic('orders', 3)
    expect((await askMetadata(server.port, 'orders')).leaders).toEqual([1, 1, 1])
  })

  test('who comes by another way is sent on to the address told for it, and all others to its own', async () => {
    const sentTo = async (port: number): Promise<readonly number[]> => {
      const { Base } = await import('@platformatic/kafka')
      const client = new Base({ clientId: 'ways', bootstrapBrokers: [`127.0.0.1:${port}`], retries: 0 })
      const { brokers } = await client.metadata({ topics: [] })
      await client.close()
      return [...brokers.values()].map((broker) => broker.port)
    }
    expect(await sentTo(way.port)).toEqual([way.advertisedPort])
    expect(await sentTo(server.port)).toEqual([server.port])
  })

  test('a topic that is there already stays as it is, one that nobody made is not there, a bad name is refused', async () => {
    await server.createTopic('twice', 2)
    await server.createTopic('twice', 5)
    expect((await askMetadata(server.port, 'twice')).leaders).toHaveLength(2)
    expect((await askMetadata(server.port, 'nobody-made-this')).leaders).toBeUndefined()
    await expect(server.createTopic('a bad name', 1)).rejects.toMatchObject({ code: 'WB_BROKER_UNREACHABLE' })
  })

  test('SIGKILL ends it, and after a restart what it had acknowledged is there', async () => {
    await server.createTopic('kept', 1)
    const producer = ['--topic', 'kept', '--command-property', 'acks=all']
    await java(server, 'org.apache.kafka.tools.ConsoleProducer', producer, 'first\nsecond\n')
    const pid = server.pid()
    await server.kill()
    expect(isGone(pid)).toBe(true)
    expect(await isPortFree(server.port)).toBe(true)
    await expect(askMetadata(server.port)).rejects.toMatchObject({ code: 'ECONNREFUSED' })
    await server.restart()
    expect(server.pid()).not.toBe(pid)
    const consumer = ['--topic', 'kept', '--from-beginning', '--max-messages', '2', '--timeout-ms', '20000']
    expect(await java(server, 'org.apache.kafka.tools.consumer.ConsoleConsumer', consumer)).toBe(
      'first\nsecond\n',
    )
  })

  test('a paused broker stands still until it is resumed', async () => {
    await server.pause()
    expect(isStopped(server.pid())).toBe(true)
    const answer = askMetadata(server.port)
    server.resume()
    expect((await answer).brokers).toBeLessThanOrEqual(1)
  })

  test('a broker that does not start says why and leaves nothing', async () => {
    const folder = serverFolder()
    const start = startKafka({ settings: { 'log.retention.ms': 'nonsense' } })
    await expect(start).rejects.toMatchObject({
      code: 'WB_BROKER_UNREACHABLE',
      message: expect.stringContaining('nonsense') as string,
    })
    expect(readdirSync(folder)).toEqual([])
  })

  test('stop removes it with its log, and a stopped one says so', async () => {
    const folder = serverFolder()
    const other = await startKafka({ settings: { 'num.io.threads': '2' } })
    const pid = other.pid()
    expect(readdirSync(folder)).toHaveLength(1)
    await other.stop()
    await other.stop()
    expect(isGone(pid)).toBe(true)
    expect(readdirSync(folder)).toEqual([])
    expect(() => other.pid()).toThrow('was stopped')
    await expect(other.restart()).rejects.toMatchObject({ code: 'WB_NOT_RUNNING' })
  })
})
