import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { storeFacts, transportFacts, type FakeTransportKind } from '../../test/fakes/facts.ts'
import { compile } from './compile.ts'
import { guarantees } from './guarantees.ts'
import { applyNearest } from './nearest.ts'
import type { ChannelFacts, CompileInput, ConsumerFacts, DeclaredForm, WindowFacts } from './plan.ts'
import { latestCopyMs } from './windows.ts'

const duration = (min: number, max: number): fc.Arbitrary<number> => fc.integer({ min, max })
const perhaps = <T>(value: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> =>
  fc.option(value, { nil: undefined })
const names = ['shipping', 'billing', 'search'] as const
const declaredForm = fc.constantFrom<DeclaredForm>('inbox', 'checkpoint', 'idempotent', 'none')

const transport = fc
  .record({
    kind: fc.constantFrom<FakeTransportKind>('kafka', 'local', 'rabbitmq', 'sqs-standard', 'sqs-fifo', 'udp'),
    fences: perhaps(fc.boolean()),
    transforms: perhaps(fc.boolean()),
    seeks: perhaps(fc.boolean()),
    keepsOrder: perhaps(fc.boolean()),
    dispatches: perhaps(fc.boolean()),
    deduplicatesMs: perhaps(fc.option(duration(1000, 3_600_000))),
    redeliveryMs: perhaps(fc.option(duration(0, 2_592_000_000))),
    transactionTimeoutMs: perhaps(fc.option(duration(1000, 900_000))),
    producerExpiryMs: perhaps(fc.option(duration(1000, 2_592_000_000))),
  })
  .map(({ kind, ...given }) => {
    const changed = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined))
    const facts = transportFacts(kind, changed)
    const { confirms, settles, isLocal } = facts.capabilities
    // What neither answers for a message nor sends it once carries nothing at all: no adapter is like that.
    return !confirms || !settles || isLocal ? transportFacts(kind, { ...changed, dispatches: true }) : facts
  })

const store = fc
  .record({
    kind: fc.constantFrom('postgres', 'mysql'),
    ordersCommits: fc.boolean(),
    takes: fc.boolean(),
    hasInbox: fc.boolean(),
    hasCheckpoints: fc.boolean(),
  })
  .map(({ kind, ...given }) => storeFacts(kind, given))

const channel: fc.Arbitrary<ChannelFacts> = fc.record({
  name: fc.constant('orders'),
  guarantee: fc.constantFrom(...guarantees),
  ordered: fc.boolean(),
  isStored: fc.boolean(),
  sharesAddressWith: fc.array(
    fc.record({ name: fc.constant('other'), guarantee: fc.constantFrom(...guarantees) }),
    { maxLength: 2 },
  ),
  maxAttempts: perhaps(duration(1, 1_000_000)),
  onPoison: fc.constantFrom('block', 'park', 'skip'),
  expiresAfterMs: fc.option(fc.integer({ min: 1, max: 1e9 }), { nil: undefined }),
  backlogLimit: fc.constant(undefined),
  declaredConsumers: fc.dictionary(fc.constantFrom(...names), declaredForm, { maxKeys: 3 }),
})

const consumers: fc.Arbitrary<readonly ConsumerFacts[]> = fc.uniqueArray(
  fc.record({
    name: fc.constantFrom(...names),
    isIdempotent: fc.boolean(),
    form: fc.constantFrom('inbox', 'checkpoint', undefined),
    transforms: fc.boolean(),
    concurrency: duration(1, 16),
    handlerTimeoutMs: duration(10, 3_600_000),
  }),
  { selector: ({ name }) => name, maxLength: 3 },
)

/** Over the limits of the settings table. */
const windows: fc.Arbitrary<WindowFacts> = fc.record({
  leaseMs: duration(200, 3_600_000),
  publishTimeoutMs: duration(10, 3_600_000),
  sendDeadlineMs: duration(10, 3_600_000),
  inboxRetentionMs: fc.integer({ min: 1000, max: 31_536_000_000 }),
  maxAttempts: duration(1, 1_000_000),
  retryInitialMs: duration(1, 3_600_000),
  retryMaxMs: duration(1, 86_400_000),
})

const inputs: fc.Arbitrary<CompileInput> = fc.record({ channel, store, transport, consumers, windows })

describe('compile', () => {
  it('comes to a plan within a few nearest choices, whatever the facts are', () => {
    const met = new Set<string>()
    fc.assert(
      fc.property(inputs, (given) => {
        let input = given
        // Each consumer has a few reasons of its own; the channel has the rest.
        for (let left = 12 + 4 * given.consumers.length; left > 0; left--) {
          const verdict = compile(input)
          if (verdict.kind === 'plan') return
          met.add(verdict.reason)
          input = applyNearest(input, verdict.nearest)
        }
        throw new Error(`it is still refused: ${JSON.stringify(compile(input))}`)
      }),
      { numRuns: 3000 },
    )
    // Or it has shown nothing.
    expect(met.size).toBeGreaterThan(20)
  })

  it('keeps its hands off: the same facts give the same verdict, and are left as they were', () => {
    fc.assert(
      fc.property(inputs, (input) => {
        const before = structuredClone(input)
        const verdict = compile(input)
        expect(input).toEqual(before)
        expect(compile(before)).toEqual(verdict)
      }),
      { numRuns: 300 },
    )
  })

  it('plans nothing unsound', () => {
    let plans = 0
    fc.assert(
      fc.property(inputs, (input) => {
        const plan = compile(input)
        if (plan.kind !== 'plan') return
        plans++
        const { capabilities: can } = input.transport
        const forms = Object.values(plan.consumers)
        const { channel, windows } = input
        const twice = ['confirm', 'fence']
        if (channel.guarantee === 'at-most-once') {
          expect(twice).not.toContain(plan.relay)
          expect(forms.every((form) => form === 'settle-first')).toBe(true)
          expect(plan.send).toBe('dispatch')
        } else {
          expect(forms).not.toContain('settle-first')
          expect([can.confirms, can.settles, plan.relay !== 'take']).toEqual([true, true, true])
        }
        if (channel.guarantee === 'exactly-once') {
          expect(forms).not.toContain('settle-after')
          expect([plan.send, channel.isStored]).toEqual(['none', true])
          const isCopied = plan.relay === 'confirm' && can.deduplicatesMs === null
          if (isCopied) expect(forms.every((form) => form === 'inbox')).toBe(true)
          if (plan.relay === 'fence') expect(can.fences).toBe(true)
          for (const consumer of input.consumers) {
            if (plan.consumers[consumer.name] !== 'inbox' || can.isLocal) continue
            expect(windows.inboxRetentionMs).toBeGreaterThanOrEqual(latestCopyMs(input, consumer))
          }
        }
        if (plan.relay !== 'none' && plan.relay !== 'handlers') {
          expect(windows.publishTimeoutMs).toBeLessThan(windows.leaseMs)
        }
        for (const { ms } of plan.windows) expect(ms === null || Number.isFinite(ms)).toBe(true)
      }),
      { numRuns: 5000 },
    )
    expect(plans).toBeGreaterThan(100)
  })
})
