import { describe, expect, it } from 'vitest'
import { facts, type FactsOf } from '../../test/fakes/facts.ts'
import { compile } from './compile.ts'
import { guaranteeTerms } from './guarantees.ts'
import type { Hop, Plan } from './plan.ts'

function planOf(of: FactsOf): Plan {
  const verdict = compile(facts(of))
  if (verdict.kind === 'refusal') throw new Error(verdict.message)
  return verdict
}

function hop(plan: Plan, step: Hop['step']): string {
  return plan.hops
    .filter((each) => each.step === step)
    .map(({ how, mayHappen }) => `${how} ${mayHappen ?? ''}`.trim())
    .join('\n')
}

const exact = { guarantee: 'exactly-once' } as const
const once = { guarantee: 'at-most-once' } as const

describe('the relay', () => {
  it.each([
    ['takes rows before their one send, at most once', { channel: once }, 'take'],
    ['sends, awaits the confirm and deletes, at least once', {}, 'confirm'],
    [
      'does the same effectively once',
      { channel: { guarantee: 'effectively-once' }, consumers: [] },
      'confirm',
    ],
    ['fences exactly-once where the transport can', { channel: exact }, 'fence'],
    ['leaves copies to the inboxes where it cannot', { channel: exact, transport: 'rabbitmq' }, 'confirm'],
    [
      'leaves copies to the inboxes where every declared consumer has one',
      { channel: { ...exact, declaredConsumers: { shipping: 'inbox', billing: 'inbox' } } },
      'confirm',
    ],
    [
      'fences where one of them keeps a position, which cannot tell a copy from a new message',
      { channel: { ...exact, declaredConsumers: { shipping: 'inbox', billing: 'checkpoint' } } },
      'fence',
    ],
    [
      'fences where one of them only bears repeats',
      { channel: { ...exact, declaredConsumers: { shipping: 'inbox', billing: 'idempotent' } } },
      'fence',
    ],
    ['runs the handlers of a local transport', { channel: exact, transport: 'local' }, 'handlers'],
    ['runs them at most once too', { channel: once, transport: 'local' }, 'handlers'],
    ['has nothing to do without the outbox', { channel: { isStored: false } }, 'none'],
  ] satisfies [string, FactsOf, Plan['relay']][])('%s', (_what, of, form) => {
    expect(planOf(of).relay).toBe(form)
  })
})

describe('a message that is given up', () => {
  const ordered = { ordered: true } as const
  it.each([
    [
      'becomes a dead letter, and its key goes on',
      { channel: ordered },
      'its key goes on: a replay comes after',
    ],
    [
      'blocks its key',
      { channel: { ...ordered, onPoison: 'block' } },
      'stays, and its key waits for an operator',
    ],
    [
      'parks its key',
      { channel: { ...ordered, onPoison: 'park' } },
      'what follows it in its key is kept beside it',
    ],
    ['costs itself alone without order', { channel: { ordered: false } }, 'becomes a dead letter.'],
    [
      'parks its key in a fenced relay',
      { channel: { ...exact, ...ordered, onPoison: 'park' } },
      'kept beside it',
    ],
    [
      'blocks its key where a handler fails over local',
      { channel: { ...ordered, onPoison: 'block' }, transport: 'local' },
      'What fails 10 times stays',
    ],
  ] satisfies [string, FactsOf, string][])('%s', (_what, of, sentence) => {
    expect(hop(planOf(of), 'relay')).toContain(sentence)
  })

  it('is passed over by a consumer of a broker, and the plan says so', () => {
    const sentence =
      "onPoison: 'park' holds a key back at the relay. A consumer over kafka goes on past its dead letters."
    const channel = { ...ordered, onPoison: 'park' } as const
    expect(planOf({ channel }).mayStillHappen).toContain(sentence)
    expect(planOf({ channel, transport: 'local' }).mayStillHappen).not.toContain(sentence)
    expect(planOf({ channel: ordered }).mayStillHappen).not.toContain(sentence)
  })

  it('is lost once it is too old to be sent, where the channel says so', () => {
    const { windows, mayStillHappen } = planOf({ channel: { expiresAfterMs: 60_000 } })
    expect(windows).toContainEqual({
      what: 'waiting in the outbox',
      setting: 'expiresAfterMs',
      ms: 60_000,
      after: 'a message that has not been sent is deleted, and counted as lost',
    })
    expect(mayStillHappen.join()).toContain('could not be sent for 1 min')
    expect(planOf({}).windows.map(({ setting }) => setting)).not.toContain('expiresAfterMs')
  })
})

describe('a consumer', () => {
  it.each([
    ['settles before its handler, at most once', { channel: once }, 'settle-first'],
    ['settles after its handler, at least once', {}, 'settle-after'],
    [
      'settles after its handler, effectively once',
      { channel: { guarantee: 'effectively-once' }, consumers: [{ isIdempotent: true }] },
      'settle-after',
    ],
    ['has an inbox, exactly once', { channel: exact }, 'inbox'],
    ['has an inbox over a local transport', { channel: exact, transport: 'local' }, 'inbox'],
    [
      'keeps its position where it asks for it',
      { channel: exact, consumers: [{ form: 'checkpoint' }] },
      'checkpoint',
    ],
    [
      'keeps its position where the channel declares it so',
      { channel: { ...exact, declaredConsumers: { shipping: 'checkpoint' } } },
      'checkpoint',
    ],
    [
      'has the form it asks for rather than the declared one',
      {
        channel: { ...exact, declaredConsumers: { shipping: 'checkpoint' } },
        consumers: [{ form: 'inbox' }],
      },
      'inbox',
    ],
    ['transforms where it says so', { channel: exact, consumers: [{ transforms: true }] }, 'transform'],
    ['may be held to more than the channel asks', { consumers: [{ form: 'inbox' }] }, 'inbox'],
  ] satisfies [string, FactsOf, string][])('%s', (_what, of, form) => {
    expect(planOf(of).consumers).toEqual({ shipping: form })
  })

  it('may keep its position behind a transport that drops copies for longer than the retries take, with a warning', () => {
    const fifo = {
      transport: 'sqs-fifo',
      capabilities: { seeks: true },
      channel: { ...exact, maxAttempts: 3 },
    } as const
    const plan = planOf({ ...fifo, consumers: [{ form: 'checkpoint' }] })
    expect(plan.warnings.join()).toMatch(/"shipping" has no inbox.*after 5 min/u)
    expect(planOf(fifo).warnings).toEqual([])
  })

  it('is offered a checkpoint where one would do, and only there', () => {
    expect(planOf({ channel: exact }).offers.join()).toMatch(
      /"shipping" may keep its position.*'checkpoint'/u,
    )
    for (const of of [
      { channel: exact, transport: 'rabbitmq' },
      { channel: exact, store: { hasCheckpoints: false } },
      { channel: exact, consumers: [{ concurrency: 2 }] },
      { channel: { ...exact, declaredConsumers: { shipping: 'inbox' } } },
      { channel: exact, consumers: [{ form: 'checkpoint' }] },
      {},
    ] satisfies FactsOf[]) {
      expect(planOf(of).offers).toEqual([])
    }
  })
})

describe('send()', () => {
  it.each([
    ['dispatches once, at most once', once, 'dispatch'],
    ['awaits the confirm, at least once', {}, 'confirm'],
    ['does not take an exactly-once channel', exact, 'none'],
  ] satisfies [string, FactsOf['channel'], string][])('%s', (_what, channel, form) => {
    const plan = planOf({ channel })
    expect(plan.send).toBe(form)
    expect(plan.hops.some(({ step }) => step === 'send')).toBe(form !== 'none')
  })
})

describe('a plan', () => {
  it('tells the way of a message in order, each hop in whole sentences', () => {
    const plan = planOf({ consumers: [{}, { name: 'billing' }] })
    expect(plan.hops.map(({ step, consumer }) => consumer ?? step)).toEqual([
      'publish',
      'send',
      'relay',
      'transport',
      'shipping',
      'billing',
    ])
    for (const { how, mayHappen } of plan.hops) {
      expect(how).toMatch(/^[A-Z].*\.$/u)
      expect(mayHappen ?? 'A.').toMatch(/^[A-Z].*\.$/u)
    }
    expect(hop(plan, 'publish')).toContain('if and only if it commits')
    expect(hop(plan, 'relay')).toMatch(/confirmed, then deleted.*10 times.*one more copy/u)
    expect(hop(plan, 'transport')).toContain('for 7 d at most')
  })

  it('has no broker in the way of a local channel, and no relay in the way of an unstored one', () => {
    expect(planOf({ transport: 'local' }).hops.map(({ step }) => step)).toEqual([
      'publish',
      'send',
      'relay',
      'consume',
    ])
    expect(planOf({ channel: { isStored: false } }).hops.map(({ step }) => step)).toEqual([
      'send',
      'transport',
      'consume',
    ])
  })

  it('names each window with the setting that makes it', () => {
    const windows = (of: FactsOf): Record<string, number | null> =>
      Object.fromEntries(planOf(of).windows.map(({ what, setting, ms }) => [setting ?? what, ms]))
    expect(windows({ channel: exact })).toEqual({
      leaseMs: 15_000,
      publishTimeoutMs: 5000,
      transactionTimeoutMs: 60_000,
      producerExpiryMs: 604_800_000,
      handlerTimeoutMs: 10_000,
      // 102,200 ms of pauses and ten time-outs of the handler; the relay's own stand before it under the same setting.
      maxAttempts: 202_200,
      'redelivery by the transport': 604_800_000,
      inboxRetentionMs: 1_209_600_000,
    })
    expect(windows({ channel: once })).toEqual({
      leaseMs: 15_000,
      publishTimeoutMs: 5000,
      handlerTimeoutMs: 10_000,
    })
    expect(windows({ channel: { isStored: false }, consumers: [] })).toMatchObject({ sendDeadlineMs: 30_000 })
    expect(windows({ transport: 'sqs-fifo', channel: exact })).toMatchObject({
      'the transport drops copies': 300_000,
    })
    expect(windows({ transport: 'local', channel: exact })).not.toHaveProperty('inboxRetentionMs')
    expect(windows({ windows: { retainMs: 7 } })).toMatchObject({ retainMs: 7 })
    for (const channel of [once, { isStored: false }])
      expect(windows({ channel, windows: { retainMs: 7 } })).not.toHaveProperty('retainMs')
  })

  it('says of itself what the guarantee leaves open, then what its forms add', () => {
    const may = (of: FactsOf): readonly string[] => planOf(of).mayStillHappen
    expect(may({})).toEqual([guaranteeTerms['at-least-once'].mayStillHappen])
    expect(may({ channel: once })).toEqual([
      guaranteeTerms['at-most-once'].mayStillHappen,
      expect.stringMatching(/fail-over.*a second time/u),
      expect.stringContaining('without being counted'),
    ])
    expect(may({ channel: once, transport: 'local' })).toEqual([
      guaranteeTerms['at-most-once'].mayStillHappen,
      expect.stringMatching(/fail-over.*a second time/u),
    ])
    expect(may({ channel: exact })).toEqual([
      guaranteeTerms['exactly-once'].mayStillHappen,
      expect.stringMatching(/fail-over.*until an operator accepts/u),
      expect.stringMatching(/fail-over.*settled already/u),
    ])
    expect(may({ channel: exact, consumers: [{ form: 'checkpoint' }] })).toHaveLength(2)
    expect(hop(planOf({ channel: { ...once, isStored: false } }), 'send')).toContain('nobody can count it')
    expect(hop(planOf({ transport: 'udp', channel: once }), 'transport')).toContain('while nobody listens')
  })

  it('warns where what holds does not hold for as long or as well as one might think', () => {
    expect(planOf({ channel: exact, transport: 'rabbitmq' }).warnings).toEqual([
      expect.stringMatching(/"rabbitmq" sets no end to redelivery.*14 d/u),
    ])
    expect(
      planOf({ channel: { ...exact, declaredConsumers: { billing: 'idempotent', shipping: 'idempotent' } } })
        .warnings,
    ).toEqual([expect.stringContaining('"billing" is declared as idempotent')])
    expect(planOf({ channel: { ordered: true, isStored: false } }).warnings).toEqual([
      expect.stringContaining('awaited before the next one'),
    ])
    const replayed = { retainMs: 86_400_000, inboxRetentionMs: 3_600_000 }
    expect(planOf({ transport: 'local', channel: exact, windows: replayed }).warnings).toEqual([
      'Sent messages are kept for 1 d (retainMs), and the inbox remembers what was handled for 1 h (inboxRetentionMs): ' +
        'a replay of older ones is handled again.',
    ])
    expect(planOf({ transport: 'local', channel: exact, windows: { retainMs: 1000 } }).warnings).toEqual([])
    expect(
      planOf({ channel: exact, consumers: [{ form: 'checkpoint' }], windows: { retainMs: 1000 } }).warnings,
    ).toEqual([expect.stringContaining('a message that is replayed (retainMs) has a new one')])
    expect(planOf({ windows: { sendDeadlineMs: 5000 } }).warnings).toEqual([
      expect.stringContaining('one attempt only'),
    ])
    expect(planOf({}).warnings).toEqual([])
  })
})

describe('a refusal', () => {
  it('does not meet who has no part in its reason', () => {
    const plans: readonly FactsOf[] = [
      // Nobody here has an inbox, so nobody's forgets.
      { channel: exact, consumers: [], windows: { inboxRetentionMs: 1000 } },
      // An at-least-once channel bears what a short memory lets through.
      { consumers: [{ form: 'inbox' }], windows: { inboxRetentionMs: 1000 } },
      // Rows of a local transport are never handed over again.
      { channel: exact, transport: 'local', windows: { inboxRetentionMs: 1000 } },
      // Its sends are no relay's.
      { channel: { isStored: false }, windows: { publishTimeoutMs: 15_000 } },
      { store: { ordersCommits: false }, channel: { ordered: true, isStored: false } },
      { store: { takes: false }, channel: { ...once, isStored: false } },
      { channel: { ...once, maxAttempts: 1 } },
      { channel: { ...once, sharesAddressWith: [{ name: 'views', guarantee: 'at-most-once' }] } },
      { channel: { sharesAddressWith: [{ name: 'payments', guarantee: 'exactly-once' }] } },
      { consumers: [{ handlerTimeoutMs: 60_000 }] },
      { channel: exact, consumers: [{ form: 'inbox', concurrency: 8 }] },
      { capabilities: { transactionTimeoutMs: 1000, producerExpiryMs: 1000 } },
    ]
    for (const of of plans) expect(compile(facts(of))).toMatchObject({ kind: 'plan' })
  })

  it('looks from both channels of an address that they share', () => {
    const of = { channel: { sharesAddressWith: [{ name: 'views', guarantee: 'at-most-once' }] } } as const
    expect(compile(facts(of))).toMatchObject({ reason: 'address-is-shared' })
  })
})
