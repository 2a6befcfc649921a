import { describe, expect, it } from 'vitest'
import { facts, type FactsOf } from '../../test/fakes/facts.ts'
import { compile } from './compile.ts'
import { applyNearest } from './nearest.ts'
import { refusalRules, refusalText } from './refusals.ts'
import { consumerRules } from './refusals/consumer.ts'
import { orderRules } from './refusals/order.ts'
import { retryRules } from './refusals/retry.ts'
import { storeRules } from './refusals/store.ts'
import { transportRules } from './refusals/transport.ts'
import { windowRules } from './refusals/window.ts'

interface Case {
  readonly of: FactsOf
  /** What the message must name beside the channel: the choice that cannot hold. */
  readonly names: readonly string[]
  /** The nearest choice, as it is written. */
  readonly nearest: string | RegExp
}

const exact = { guarantee: 'exactly-once' } as const
const once = { guarantee: 'at-most-once' } as const
const effective = { guarantee: 'effectively-once' } as const
const day = 86_400_000

/** A combination for each reason, which nothing else stands against. */
const cases: Readonly<Record<string, Case>> = {
  'local-without-outbox': {
    of: { transport: 'local', channel: { isStored: false } },
    names: ['outbox: false', '"local"'],
    nearest: '`outbox` left out',
  },
  'send-is-not-confirmed': {
    of: { transport: 'udp', channel: { isStored: false } },
    names: ['at-least-once', 'udp', 'send()'],
    nearest: "guarantee: 'at-most-once'",
  },
  'transport-does-not-confirm': {
    of: { transport: 'udp' },
    names: ['at-least-once', 'udp'],
    nearest: "guarantee: 'at-most-once'",
  },
  'transport-cannot-send-once': {
    of: { transport: 'rabbitmq', capabilities: { dispatches: false }, channel: once },
    names: ['at-most-once', 'rabbitmq'],
    nearest: "guarantee: 'at-least-once'",
  },
  'transport-does-not-settle': {
    of: { transport: 'rabbitmq', capabilities: { settles: false }, channel: { maxAttempts: 3 } },
    names: ['at-least-once', 'rabbitmq'],
    nearest: "guarantee: 'at-most-once', without `maxAttempts`",
  },
  'address-is-shared': {
    of: { channel: { ...once, sharesAddressWith: [{ name: 'payments', guarantee: 'exactly-once' }] } },
    names: ['at-most-once', '"payments"', 'exactly-once'],
    nearest: /`address` of its own/u,
  },
  'transport-cannot-transform': {
    of: { capabilities: { transforms: false }, channel: exact, consumers: [{ transforms: true }] },
    names: ['"shipping"', 'transforms', 'kafka'],
    nearest: /`tx` in place of the transform.*groupProtocol: 'classic'/u,
  },
  'exactly-once-without-outbox': {
    of: { channel: { ...exact, isStored: false } },
    names: ['exactly-once', 'outbox: false'],
    nearest: '`outbox` left out',
  },
  'store-cannot-take': {
    of: { store: { takes: false }, channel: once },
    names: ['at-most-once', 'postgres'],
    nearest: '`outbox: false`, with send() in place of publish()',
  },
  'store-without-inbox': {
    of: { store: { hasInbox: false }, transport: 'rabbitmq', channel: exact },
    names: ['exactly-once', '"shipping"', 'postgres'],
    nearest: "guarantee: 'at-least-once'",
  },
  'store-without-checkpoints': {
    of: { store: { hasCheckpoints: false }, channel: exact, consumers: [{ form: 'checkpoint' }] },
    names: ['"shipping"', 'position', 'postgres'],
    nearest: 'form: \'inbox\' for consumer "shipping"',
  },
  'transport-does-not-keep-order': {
    of: { transport: 'sqs-standard', channel: { ordered: true } },
    names: ['at-least-once', 'ordered', 'sqs-standard'],
    nearest: 'ordered: false',
  },
  'store-does-not-order-commits': {
    of: { store: { ordersCommits: false }, channel: { ordered: true } },
    names: ['ordered', 'postgres'],
    nearest: 'ordered: false',
  },
  'checkpoint-side-by-side': {
    of: { channel: exact, consumers: [{ form: 'checkpoint', concurrency: 8 }] },
    names: ['"shipping"', '`concurrency` 8'],
    nearest: 'concurrency: 1 for consumer "shipping"',
  },
  'declared-consumer-repeats': {
    of: { channel: { ...exact, declaredConsumers: { billing: 'none', shipping: 'inbox' } } },
    names: ['exactly-once', '"billing"', "'none'"],
    nearest: "guarantee: 'at-least-once'",
  },
  'declared-consumer-is-not-idempotent': {
    of: { channel: { ...effective, declaredConsumers: { billing: 'none' } }, consumers: [] },
    names: ['effectively-once', '"billing"', "'none'"],
    nearest: "guarantee: 'at-least-once'",
  },
  'at-most-once-has-no-form': {
    of: { channel: once, consumers: [{ form: 'inbox' }] },
    names: ['at-most-once', '"shipping"', "'inbox'"],
    nearest: 'consumer "shipping" without `form`',
  },
  'transform-needs-exactly-once': {
    of: { consumers: [{ transforms: true }] },
    names: ['at-least-once', '"shipping"', 'transforms'],
    nearest: 'a handler with `tx` in place of the transform of "shipping"',
  },
  'transform-has-no-form': {
    of: { channel: exact, consumers: [{ transforms: true, form: 'inbox' }] },
    names: ['"shipping"', 'transforms', "'inbox'"],
    nearest: 'the transform of "shipping" without `form`',
  },
  'consumer-is-not-idempotent': {
    of: { channel: effective },
    names: ['effectively-once', '"shipping"', 'idempotent'],
    nearest: /^idempotent: true for consumer "shipping"/u,
  },
  'consumer-is-declared-with-inbox': {
    of: {
      channel: { ...exact, declaredConsumers: { shipping: 'inbox' } },
      consumers: [{ form: 'checkpoint' }],
    },
    names: ['"shipping"', "'checkpoint'", 'inbox'],
    nearest: 'form: \'inbox\' for consumer "shipping"',
  },
  'local-has-no-positions': {
    of: { transport: 'local', channel: exact, consumers: [{ form: 'checkpoint' }] },
    names: ['"shipping"', 'checkpoint', '"local"'],
    nearest: 'form: \'inbox\' for consumer "shipping"',
  },
  'transport-cannot-seek': {
    of: { transport: 'rabbitmq', channel: exact, consumers: [{ form: 'checkpoint' }] },
    names: ['"shipping"', 'position', 'rabbitmq'],
    nearest: 'form: \'inbox\' for consumer "shipping"',
  },
  'copies-reach-a-position': {
    of: {
      channel: { ...exact, declaredConsumers: { billing: 'inbox' } },
      consumers: [{ form: 'checkpoint' }],
    },
    names: ['"shipping"', 'copy', 'inbox'],
    nearest: /consumers: \{ "shipping": 'checkpoint' \} beside/u,
  },
  'producer-is-forgotten-under-lease': {
    of: { channel: exact, capabilities: { producerExpiryMs: 10_000 } },
    names: ['exactly-once', '10 s', '15 s'],
    nearest: 'leaseMs: 5000 and publishTimeoutMs: 3333',
  },
  'publish-outlives-lease': {
    of: { windows: { publishTimeoutMs: 12_000 } },
    names: ['at-least-once', '12 s', '15 s'],
    nearest: 'publishTimeoutMs: 10000',
  },
  'transaction-shorter-than-publish': {
    of: { channel: exact, capabilities: { transactionTimeoutMs: 5000 } },
    names: ['exactly-once', '5 s', 'aborts'],
    nearest: 'publishTimeoutMs: 2500',
  },
  'handler-outlives-lease': {
    of: { transport: 'local', consumers: [{ handlerTimeoutMs: 11_000 }] },
    names: ['"shipping"', '11 s', '15 s'],
    nearest: 'a time-out of 10000 ms for the handler of "shipping"',
  },
  'inbox-shorter-than-redelivery': {
    of: { channel: exact, windows: { inboxRetentionMs: 6 * day } },
    names: ['exactly-once', '"shipping"', '6 d', '7 d'],
    nearest: /^inboxRetentionMs: 6\d{8}$/u,
  },
  'at-most-once-has-no-retries': {
    of: { channel: { ...once, maxAttempts: 5 } },
    names: ['at-most-once', '`maxAttempts` 5'],
    nearest: '`maxAttempts` left out',
  },
  'retries-outlast-the-inbox': {
    of: { channel: { ...exact, maxAttempts: 20_000 }, consumers: [{}] },
    names: ['exactly-once', '"shipping"', '14 d', '20000 attempts'],
    nearest: /^inboxRetentionMs: \d+$/u,
  },
  'retries-outlast-deduplication': {
    of: {
      transport: 'sqs-fifo',
      capabilities: { seeks: true },
      channel: { ...exact, maxAttempts: 20 },
      consumers: [{ form: 'checkpoint' }],
    },
    names: ['exactly-once', '"shipping"', '5 min', '20 attempts'],
    nearest: 'form: \'inbox\' for consumer "shipping"',
  },
}

describe('a refusal', () => {
  it.each(Object.entries(cases))('says why: %s', (reason, { of, names, nearest }) => {
    const input = facts(of)
    const refusal = compile(input)
    if (refusal.kind !== 'refusal') throw new Error('it was not refused')
    expect(refusal).toMatchObject({ reason, channel: 'orders', guarantee: input.channel.guarantee })
    expect(refusal.cause).toBe(refusalRules[reason]!.cause)
    for (const name of ['"orders"', ...names]) expect(refusal.message).toContain(name)
    expect(refusal.message).toMatch(/\.$/u)
    expect(refusal.nearest.words).toEqual(
      typeof nearest === 'string' ? nearest : expect.stringMatching(nearest),
    )
    expect(refusalText(refusal)).toContain(`Nearest that holds: ${refusal.nearest.words}`)
  })

  it.each(Object.entries(cases))('names a nearest choice that compiles: %s', (_reason, { of }) => {
    const input = facts(of)
    const refusal = compile(input)
    if (refusal.kind !== 'refusal') throw new Error('it was not refused')
    expect(compile(applyNearest(input, refusal.nearest))).toMatchObject({ kind: 'plan', channel: 'orders' })
  })

  it('has a case here for every rule, and no two share a reason', () => {
    expect(Object.keys(cases).sort()).toEqual(Object.keys(refusalRules).sort())
    const files = [consumerRules, orderRules, retryRules, storeRules, transportRules, windowRules]
    const reasons = files.flatMap((rules) => Object.keys(rules))
    expect(reasons).toHaveLength(Object.keys(refusalRules).length)
    expect(reasons.length).toBeGreaterThanOrEqual(20)
    expect(new Set(Object.values(refusalRules).map(({ cause }) => cause))).toEqual(
      new Set(['store', 'transport', 'window', 'order', 'retry', 'consumer']),
    )
  })
})
