import { describe, expect, it } from 'vitest'
import { consumerFacts } from '../../test/fakes/facts.ts'
import { kafkaTransport } from '../kafka.ts'
import { localTransport } from '../local.ts'
import { defineChannel } from '../outbox/channel.ts'
import { postgresStore } from '../postgres.ts'
import { resolveConfig, type ResolvedConfig, type WaybillConfig } from './config.ts'
import { compileInputs, plansOf } from './plans.ts'

const orders = defineChannel({ name: 'orders', guarantee: 'exactly-once', address: 'events' })
const views = defineChannel({ name: 'views', guarantee: 'at-most-once', outbox: false })

function configOf(more: Partial<WaybillConfig> = {}): ResolvedConfig {
  return resolveConfig({
    store: postgresStore({ connectionString: 'postgres://localhost/none' }),
    transports: {
      events: kafkaTransport({ brokers: ['localhost:9092'], retentionMs: 86_400_000 }),
      local: localTransport(),
    },
    channels: [orders.via('events'), views.via('events')],
    ...more,
  })
}

const shipping = { channel: 'orders', facts: consumerFacts() }

describe('compileInputs', () => {
  it('takes the facts from channels, adapters, settings and registrations', () => {
    const [first, second] = compileInputs(configOf({ maxAttempts: 7 }), [shipping])
    expect(first).toMatchObject({
      channel: {
        name: 'orders',
        guarantee: 'exactly-once',
        ordered: false,
        isStored: true,
        sharesAddressWith: [],
      },
      store: { kind: 'postgres', capabilities: { hasInbox: true } },
      transport: { name: 'events', kind: 'kafka', capabilities: { redeliveryMs: 86_400_000 } },
      consumers: [consumerFacts()],
      windows: { leaseMs: 15_000, publishTimeoutMs: 5000, maxAttempts: 7, inboxRetentionMs: 1_209_600_000 },
    })
    expect(second).toMatchObject({ channel: { name: 'views', isStored: false }, consumers: [] })
  })

  it('sees which channels share an address of one transport', () => {
    const beside = defineChannel({ name: 'orders.audit', address: 'events' })
    const elsewhere = defineChannel({ name: 'orders.local', address: 'events' })
    const channels = [orders.via('events'), beside.via('events'), elsewhere.via('local')]
    const shares = compileInputs(configOf({ channels }), []).map(({ channel }) => channel.sharesAddressWith)
    expect(shares).toEqual([
      [{ name: 'orders.audit', guarantee: 'at-least-once' }],
      [{ name: 'orders', guarantee: 'exactly-once' }],
      [],
    ])
  })
})

describe('plansOf', () => {
  it('gives the plan of every channel', () => {
    const plans = plansOf(configOf(), [shipping])
    expect(plans.get('orders')).toMatchObject({
      relay: 'fence',
      send: 'none',
      consumers: { shipping: 'inbox' },
    })
    expect(plans.get('views')).toMatchObject({ relay: 'none', send: 'dispatch', consumers: {} })
  })

  it('throws every refusal with its nearest choice, and starts nothing', () => {
    const local = defineChannel({ name: 'cache', outbox: false })
    const config = configOf({ channels: [orders.via('events'), local.via('local')], inboxRetentionMs: 1000 })
    expect(() => plansOf(config, [shipping])).toThrow(
      expect.objectContaining({
        code: 'WB_GUARANTEE_UNSUPPORTED',
        message: expect.stringMatching(
          /^Consumer "shipping" of channel "orders".*forgets.*Nearest that holds: inboxRetentionMs: \d+\.\nChannel "cache".*Nearest that holds: `outbox` left out\.$/u,
        ),
      }),
    )
  })
})
