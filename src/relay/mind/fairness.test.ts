import { describe, expect, it } from 'vitest'
import { ByHand, confirmed, lease, refused, row } from '../../../test/model/by-hand.ts'
import type { OutboxRow, ReadRequest } from '../../ports/outbox.ts'
import { RelayMind } from './mind.ts'
import type { Command, MindOptions } from './types.ts'

const freshCount = 60_000
const retryCount = 2000
const seconds = 10

/**
 * One partition with a backlog of both kinds, in virtual time: fresh messages are confirmed after 20 ms; the others fail after
 * 200 ms, or what is said, whenever they are tried, and are due again at once.
 */
class Backlog {
  readonly sent: { readonly at: number; readonly kind: 'fresh' | 'retry' }[] = []
  /** Of the sends under way at one moment. */
  mostRetries = 0
  #now = 0
  mostFresh = 0
  readonly #keyOf: (seq: number) => string | null
  readonly #retryMs: number
  readonly #gone = new Set<bigint>()
  readonly #dueAt = new Map<number, number>()
  readonly #attempts = new Map<number, number>()
  readonly #events: { readonly at: number; readonly happen: () => void }[] = []
  readonly #mind: RelayMind
  #retries = 0
  #fresh = 0

  constructor(
    keyOf: (seq: number) => string | null,
    sends: Pick<MindOptions, 'maxSends' | 'maxFreshSends'>,
    retryMs = 200,
  ) {
    this.#keyOf = keyOf
    this.#retryMs = retryMs
    for (let seq = 1; seq <= retryCount; seq++) this.#dueAt.set(seq, 0)
    const rules = { form: 'confirm', maxAttempts: 1e9, retry: { initialMs: 1, maxMs: 1 } } as const
    this.#mind = new RelayMind({
      channels: new Map([
        ['orders', { ...rules, ordered: true }],
        ['views', { ...rules, ordered: false }],
      ]),
      ordersBatch: true,
      batchSize: 20,
      readLimit: 500,
      lateLimit: 500,
      lookLimit: 1000,
      maxInFlight: 2000,
      maxInFlightBytes: 1e9,
      maxKeyBacklog: 100,
      ...sends,
      removeLimit: 1000,
      sendTimeoutMs: 1000,
      poll: { initialMs: 5, maxMs: 50 },
      hold: { initialMs: 50, maxMs: 50 },
      random: () => 0.5,
    })
    this.#mind.gained([lease], Infinity)
  }

  run(): void {
    this.#decide()
    while (this.#now < seconds * 1000) {
      this.#events.sort((a, b) => a.at - b.at)
      const next = this.#events[0]
      const decisionAt = this.#mind.nextDecisionAt()
      if (next === undefined || decisionAt < next.at) this.#now = Math.max(this.#now, decisionAt)
      else {
        this.#events.shift()
        this.#now = next.at
        next.happen()
      }
      this.#decide()
    }
  }

  #decide(): void {
    for (const command of this.#mind.decide(this.#now)) this.#carryOut(command)
  }

  #after(ms: number, happen: () => void): void {
    this.#events.push({ at: this.#now + ms, happen })
  }

  #carryOut(command: Command): void {
    const mind = this.#mind
    if (command.type === 'read') {
      this.#after(2, () => mind.readReturned(command.read, this.#answer(command.request), this.#now))
    } else if (command.type === 'remove') {
      for (const { seq } of command.rows) this.#gone.add(seq)
      this.#after(1, () => mind.removed(command.remove))
    } else if (command.type === 'block') {
      for (const { seq, attempts, retryInMs } of command.lines) {
        this.#dueAt.set(Number(seq), this.#now + retryInMs!)
        this.#attempts.set(Number(seq), attempts)
      }
      this.#after(1, () =>
        mind.written(
          command.write,
          command.lines.map(() => 'written'),
        ),
      )
    } else if (command.type === 'send') {
      const kind = command.rows[0]!.origin === 'retry' ? 'retry' : 'fresh'
      for (const _ of command.rows) this.sent.push({ at: this.#now, kind })
      if (kind === 'retry') this.mostRetries = Math.max(this.mostRetries, (this.#retries += 1))
      else this.mostFresh = Math.max(this.mostFresh, (this.#fresh += 1))
      this.#after(kind === 'retry' ? this.#retryMs : 20, () => {
        if (kind === 'retry') this.#retries -= 1
        else this.#fresh -= 1
        const fate = kind === 'retry' ? refused : confirmed
        mind.sendEnded(
          command.send,
          command.rows.map(() => fate),
          this.#now,
        )
      })
    } else throw new Error(`nobody expected ${command.type}`)
  }

  #answer(request: ReadRequest) {
    const floor = Number(request.partitions[0]!.floor)
    const rows: OutboxRow[] = []
    for (
      let seq = Math.max(floor, retryCount) + 1;
      seq <= freshCount && rows.length < request.upperLimit;
      seq++
    )
      if (!this.#gone.has(BigInt(seq))) rows.push(row(seq, this.#keyOf(seq)))
    const due = [...this.#dueAt].filter(([, at]) => at <= this.#now).sort(([, a], [, b]) => a - b)
    for (const [seq] of due.slice(0, request.retryLimit)) {
      const attempts = this.#attempts.get(seq) ?? 1
      rows.push(row(seq, this.#keyOf(seq), { origin: 'retry', attempts }))
    }
    return {
      snapshot: { xmax: 1n, open: [] },
      server: 'server',
      serverTimeMs: this.#now,
      inRecovery: false,
      hasLines: false,
      rewinds: new Map([[0, 0n]]),
      tops: new Map<number, bigint>(),
      unseen: new Set<number>(),
      marks: new Map<number, string>(),
      nextDueInMs: null,
      rows,
      orphans: [],
    }
  }
}

describe('a backlog of messages that failed before and of others', () => {
  it.each([
    ['each of a key of its own', (seq: number) => `key-${seq}`, 3],
    ['of a thousand keys, one send at a time', (seq: number) => `key-${seq % 1000}-${seq <= retryCount}`, 1],
    ['without order', () => null, 4],
  ] as const)('%s, sends both kinds in every second of ten (P7)', (_what, keyOf, maxSends) => {
    const backlog = new Backlog(keyOf, { maxSends })
    backlog.run()
    for (let second = 0; second < seconds; second++) {
      const during = backlog.sent.filter(({ at }) => Math.floor(at / 1000) === second)
      for (const kind of ['fresh', 'retry']) {
        const count = during.filter((each) => each.kind === kind).length
        expect(count, `${kind} in second ${second}`).toBeGreaterThan(kind === 'fresh' ? 50 : 2)
      }
    }
    // Retries hang ten times as long as the others take: they have half of the sends, and not all of them in the end.
    expect(backlog.mostRetries).toBe(Math.max(1, Math.floor(maxSends / 2)))
  })

  it('has one send of others beside a retry that hangs, where handlers of one send work side by side (P7)', () => {
    const backlog = new Backlog((seq) => `key-${seq}`, { maxSends: 2, maxFreshSends: 1 }, 900)
    backlog.run()
    for (let second = 0; second < seconds; second++) {
      const fresh = backlog.sent.filter(
        ({ at, kind }) => kind === 'fresh' && Math.floor(at / 1000) === second,
      )
      expect(fresh.length, `fresh in second ${second}`).toBeGreaterThan(500)
    }
    expect(backlog.sent.filter(({ kind }) => kind === 'retry').length).toBeGreaterThan(seconds / 2)
    expect([backlog.mostFresh, backlog.mostRetries]).toEqual([1, 1])
  })
})

describe('a destination that hangs', () => {
  it.each(['confirm', 'take'] as const)(
    'takes no send that others would wait for, in form %s (O2)',
    (form) => {
      const hand = new ByHand({ maxSends: 3, batchSize: 1 }, form)
      const type = form === 'confirm' ? 'send' : 'take'
      hand.read([1, 2, 3, 4, 5].map((seq) => row(seq, null)))
      const channels = [hand.take(type), hand.take(type)].map(({ channel }) => channel)
      expect(channels).toEqual(['views', 'views'])
      expect(hand.has(type)).toBe(false)
      hand.until('read')
      hand.read([row(6, 'a')])
      expect(hand.take(type).channel).toBe('orders')
    },
  )
})

describe('partitions that are read at once', () => {
  it('go by their oldest rows, so that none waits behind the others of each hold that begins anew (P7)', () => {
    const hand = new ByHand({ batchSize: 2 })
    hand.mind.gained([{ partition: 1, epoch: 1n }], 100_000)
    // That one was asked for before.
    hand.read()
    hand.until('read')
    hand.read([row(7, 'a'), row(8, 'b'), row(3, 'c', { partition: 1 })])
    expect(hand.send(confirmed)).toEqual(['m3', 'm7'])
  })
})
