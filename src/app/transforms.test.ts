import { describe, expect, it } from 'vitest'
import { createWaybill, defineChannel, type Waybill } from '../index.ts'
import { kafkaTransport } from '../kafka.ts'
import { localTransport } from '../local.ts'
import { postgresStore } from '../postgres.ts'
import { withoutStore } from './transforms.ts'

const guarantee = 'exactly-once'
const orders = defineChannel<number>({ name: 'orders', guarantee })
const labels = defineChannel<number>({ name: 'labels', guarantee, ordered: true })
const elsewhere = defineChannel<number>({ name: 'elsewhere', guarantee })
const unlisted = defineChannel<number>({ name: 'label', guarantee })
const events = kafkaTransport({ brokers: ['127.0.0.1:1'] })
const handler = (): void => {}

function service(): Waybill {
  return createWaybill(
    {
      transports: { events, other: kafkaTransport({ brokers: ['127.0.0.1:1'] }) },
      channels: [orders.via('events'), labels.via('events'), elsewhere.via('other')],
      logLevel: 'silent',
    },
    {},
  )
}

describe('a registration of a transform', () => {
  it('is refused with outputs on another transport than the input', () => {
    expect(() =>
      service().consume(orders, { consumer: 'c', transform: [labels, elsewhere] }, handler),
    ).toThrow(
      expect.objectContaining({
        code: 'WB_INVALID_CONFIG',
        message: expect.stringMatching(
          /"elsewhere", which goes via "other", while its input comes via "events"/u,
        ) as string,
      }),
    )
  })

  it('is refused with outputs that are not in the configuration', () => {
    expect(() => service().consume(orders, { consumer: 'c', transform: [unlisted] }, handler)).toThrow(
      expect.objectContaining({
        code: 'WB_INVALID_CONFIG',
        message: expect.stringMatching(
          /"label", which is not in the configuration\. Did you mean "labels"\?/u,
        ) as string,
      }),
    )
  })

  it('is refused beside a handler of the same consumer at the same address', async () => {
    const address = 'shared'
    const [first, second] = ['first', 'second'].map((name) =>
      defineChannel<number>({ name, guarantee, address }),
    )
    const waybill = createWaybill(
      {
        store: postgresStore({ connectionString: 'postgres://127.0.0.1:1/none' }),
        transports: { events },
        channels: [first!, second!, labels],
        logLevel: 'silent',
      },
      {},
    )
    waybill.consume(first!, { consumer: 'c', transform: [labels] }, handler)
    waybill.consume(second!, { consumer: 'c' }, handler)
    await expect(waybill.start()).rejects.toMatchObject({
      code: 'WB_GUARANTEE_UNSUPPORTED',
      message: expect.stringMatching(/transforms channel "first" and handles channel "second"/u) as string,
    })
  })

  it.each([
    ['without outputs', { transform: [] }],
    ['with something else than a list', { transform: labels }],
    ['in batches', { transform: [labels], batch: true }],
  ])('is refused %s', (_, options) => {
    expect(() => service().consume(orders, { consumer: 'c', ...options } as never, handler)).toThrow(
      expect.objectContaining({ code: 'WB_INVALID_OPTION' }),
    )
  })
})

describe('a service without a store', () => {
  it('may transform exactly-once channels, and nothing else', async () => {
    const waybill = service()
    waybill.consume(orders, { consumer: 'c', transform: [labels] }, handler)
    await waybill.start()
    expect(waybill.status().parts).toMatchObject([{ kind: 'consumer', consumer: 'c' }])
    await waybill.stop()
    const plain = service()
    plain.consume(orders, { consumer: 'c' }, handler)
    await expect(plain.start()).rejects.toMatchObject({ code: 'WB_GUARANTEE_UNSUPPORTED' })
    await plain.stop()
  })

  it('has no channel that needs one', () => {
    const stored = defineChannel({ name: 'stored' })
    expect(() => createWaybill({ transports: { events }, channels: [stored] }, {})).toThrow(
      /declare it with `outbox: false`/u,
    )
    const local = localTransport()
    expect(() => createWaybill({ transports: { local }, channels: [orders] }, {})).toThrow(
      /goes over a local transport/u,
    )
  })

  it('has no channel that it could not transform', () => {
    const kafka = kafkaTransport({ brokers: ['127.0.0.1:1'], groupProtocol: 'consumer' })
    expect(() => createWaybill({ transports: { kafka }, channels: [orders] }, {})).toThrow(
      /`store` is missing/u,
    )
  })

  it('counts starts in memory, for each consumer, and not without end', async () => {
    const { inbox } = withoutStore()
    expect(await inbox.countStart('a', 'x')).toBe(1)
    expect(await inbox.countStart('a', 'x')).toBe(2)
    expect(await inbox.countStart('b', 'x')).toBe(1)
    for (let i = 0; i < 10_000; i++) await inbox.countStart('c', String(i))
    expect(await inbox.countStart('a', 'x')).toBe(1)
    await expect(inbox.bury('a', {} as never)).rejects.toMatchObject({ code: 'WB_INVALID_CONFIG' })
  })
})
