import { randomUUID } from 'node:crypto'
import { afterEach, describe, expect, it } from 'vitest'
import {
  createWaybill,
  defineChannel,
  many,
  PublishOutcomeUnknownError,
  type Waybill,
  type WaybillConfig,
} from '../../src/index.ts'
import { kafkaTransport } from '../../src/kafka.ts'
import { localTransport } from '../../src/local.ts'
import { type PgClient, postgresStore } from '../../src/postgres.ts'
import { until } from '../../src/testing.ts'
import { postgresDatabase } from '../setup/servers.ts'
import { readProduceRequest } from '../transports/kafka/produce-request.ts'
import {
  idsOf,
  newTopic,
  openTransport,
  receiveUntil,
  proxiedKafka,
  subscribe,
} from '../transports/kafka/scene.ts'

const open: { stop(): Promise<void> }[] = []

function started<Handle>(config: WaybillConfig<Handle>): Waybill<Handle> {
  const waybill = createWaybill({ logLevel: 'silent', ...config }, {})
  open.push(waybill)
  return waybill
}

afterEach(async () => {
  for (const waybill of open.splice(0)) await waybill.stop()
})

describe('send over Kafka', () => {
  const kafka = proxiedKafka()

  /** Without a store: a service that only sends needs none. */
  function sender(topic: string, publishTimeoutMs = 5000): { waybill: Waybill; channel: typeof pinged } {
    const pinged = defineChannel<number>({ name: topic, outbox: false })
    const transports = { kafka: kafkaTransport({ brokers: kafka.brokers, requestTimeoutMs: 1000 }) }
    const waybill = started({ transports, channels: [pinged], publishTimeoutMs, retryInitialMs: 20 })
    return { waybill, channel: pinged }
  }

  async function logOf(topic: string, count: number): Promise<string[]> {
    const subscription = await subscribe(openTransport(kafka.brokers), [topic])
    return idsOf(await receiveUntil(subscription, (all) => all.length >= count))
  }

  it('resolves once the broker has it, without start() and without a store', async () => {
    const topic = newTopic()
    const { waybill, channel } = sender(topic)
    const ids = await waybill.send(channel, many([1, 2, 3]))
    expect((await logOf(topic, 3)).toSorted()).toEqual([...ids].toSorted())
    expect(waybill.status().parts).toEqual([
      { kind: 'sends', counters: { dispatched: 0, confirmed: 3, dropped: 0 } },
    ])
  })

  it('tries again with the same id while the broker’s answers are lost, and throws what it does not know', async () => {
    const topic = newTopic()
    const { waybill, channel } = sender(topic, 500)
    await waybill.send(channel, 0)
    let isLosing = true
    const lose = (): void => {
      void kafka.proxy
        .dropReplies({ request: (chunk) => readProduceRequest(chunk) !== undefined, instead: 'silence' })
        .then(() => {
          if (isLosing) lose()
        })
    }
    lose()
    const id = randomUUID()
    const error = await waybill.send(channel, 1, { id, deadlineMs: 3000 }).catch((thrown: unknown) => thrown)
    isLosing = false
    expect(error).toBeInstanceOf(PublishOutcomeUnknownError)
    expect(error).toMatchObject({ messageId: id, code: 'WB_PUBLISH_OUTCOME_UNKNOWN' })
    await kafka.proxy.heal()
    // What the error says to do: the same id once more. It is there then, however often it was there before.
    expect(await waybill.send(channel, 1, { id })).toBe(id)
    expect(new Set((await logOf(topic, 2)).slice(1))).toEqual(new Set([id]))
  })

  it('goes on by itself when the broker can be reached again', async () => {
    const topic = newTopic()
    const { waybill, channel } = sender(topic)
    await waybill.send(channel, 0)
    kafka.proxy.refuse()
    kafka.proxy.reset()
    const sent = waybill.send(channel, 1)
    await expect(waybill.send(channel, 2, { deadlineMs: 300 })).rejects.toMatchObject({
      code: expect.stringMatching(/^WB_PUBLISH_(?:REJECTED|OUTCOME_UNKNOWN)$/u),
    })
    await kafka.proxy.heal()
    expect(await logOf(topic, 2)).toContain(await sent)
  })
})

describe('send over the local transport', () => {
  it('stores the message in a transaction of its own, and its consumers get it', async () => {
    const { url } = await postgresDatabase()
    const said = defineChannel<string>({ name: 'said' })
    const waybill = started<PgClient>({
      store: postgresStore({ connectionString: url }),
      transports: { local: localTransport() },
      channels: [said],
      pollMaxMs: 20,
    })
    await waybill.migrate()
    const heard: string[] = []
    waybill.consume(said, { consumer: 'listener' }, ({ payload }) => void heard.push(payload))
    await waybill.start()
    await waybill.send(said, many(['a', 'b']))
    await until('both', () => heard.length === 2)
    expect(heard.toSorted()).toEqual(['a', 'b'])
  })
})
