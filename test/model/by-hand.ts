import type {
  FencedState,
  FollowerOutcome,
  Loss,
  NewsRequest,
  OutboxRow,
  ReadRequest,
  ReadResult,
  RowRef,
  TakeOutcome,
} from '../../src/ports/outbox.ts'
import type { Fate, FencedNote, FencedOutcome } from '../../src/ports/transport.ts'
import { RelayMind } from '../../src/relay/mind/mind.ts'
import type { ChannelRules, Command, MindOptions } from '../../src/relay/mind/types.ts'
import type { OnceResult } from '../../src/relay/sender.ts'

type CommandOf<Type extends Command['type']> = Extract<Command, { type: Type }>

interface Answer {
  readonly rewind?: bigint
  readonly xmax?: bigint
  readonly open?: readonly bigint[]
  readonly server?: string
  /** @default the time of the mind: their clocks agree */
  readonly serverTimeMs?: number
  readonly inRecovery?: boolean
  readonly hasLines?: boolean
  readonly orphans?: readonly RowRef[]
  /** Of partition 0. */
  readonly top?: bigint
  readonly isUnseen?: boolean
  readonly mark?: string
  readonly nextDueInMs?: number
}

export const confirmed: Fate = { outcome: 'confirmed' }
export const unknown: Fate = { outcome: 'unknown', code: 'NO_ANSWER', reason: 'no answer' }
export const refused: Fate = rejection('message', true)
export const refusedForGood: Fate = rejection('message', false)
export const unreachable: Fate = rejection('destination', true)
export const untried: Fate = rejection('send', true)

function rejection(scope: 'message' | 'destination' | 'send', retryable: boolean): Fate {
  return { outcome: 'rejected', scope, retryable, code: 'NO', reason: 'no' }
}

export const lineage = 'cluster/topic'
export const lease = { partition: 0, epoch: 1n }

/** A row of `orders`, ordered by key; without a key one of `views`, which has no order. */
export function row(seq: number, key: string | null, also: Partial<OutboxRow> = {}): OutboxRow {
  const channel = key === null ? 'views' : 'orders'
  const envelope = { payload: new Uint8Array(), contentType: '', headers: {}, createdAt: new Date(0) }
  const place = { partition: 0, seq: BigInt(seq), id: `m${seq}` }
  return {
    ...envelope,
    ...place,
    channel,
    key,
    origin: 'upper',
    attempts: 0,
    isParked: false,
    dueAt: also.createdAt ?? new Date(0),
    ...also,
  }
}

/** One mind, whose commands wait here until the test answers them. Partition 0 is held. */
export class ByHand {
  readonly mind: RelayMind
  now = 1000
  #waiting: Command[] = []
  #xmax = 100n

  /** `form` and `also`: of all its channels. */
  constructor(
    options: Partial<MindOptions> = {},
    form: ChannelRules['form'] = 'confirm',
    also: Partial<ChannelRules> = {},
  ) {
    const rules = { form, maxAttempts: 3, retry: { initialMs: 50, maxMs: 50 }, ...also }
    const channels = new Map([
      ['orders', { ...rules, ordered: true }],
      ['views', { ...rules, ordered: false }],
    ])
    const sizes = {
      batchSize: 10,
      readLimit: 10,
      lateLimit: 3,
      lookLimit: 100,
      maxInFlight: 100,
      maxInFlightBytes: 1e9,
    }
    const limits = { maxKeyBacklog: 10, maxSends: 3, removeLimit: 10, sendTimeoutMs: 400 }
    const pauses = { poll: { initialMs: 10, maxMs: 1000 }, hold: { initialMs: 50, maxMs: 50 } }
    this.mind = new RelayMind({
      channels,
      ordersBatch: true,
      ...sizes,
      ...limits,
      ...pauses,
      random: () => 0.5,
      ...options,
    })
    this.mind.gained([lease], 100_000)
    this.decide()
  }

  decide(): void {
    this.#waiting.push(...this.mind.decide(this.now))
  }

  /** Lets time pass to the moment the mind asks for. */
  rest(): void {
    const next = this.mind.nextDecisionAt()
    if (next === Infinity) throw new Error('the mind waits for an event, not for time')
    this.now = Math.max(this.now, next)
    this.decide()
  }

  /** Lets reads find nothing and time pass until the mind wants this. */
  until(type: Command['type']): void {
    while (!this.has(type)) {
      if (this.has('read')) this.read()
      else if (this.has('readNews')) this.readNews()
      else this.rest()
    }
  }

  has(type: Command['type']): boolean {
    return this.#waiting.some((each) => each.type === type)
  }

  take<Type extends Command['type']>(type: Type): CommandOf<Type> {
    const at = this.#waiting.findIndex((each) => each.type === type)
    if (at < 0) throw new Error(`no ${type} among ${this.#waiting.map((each) => each.type).join(', ')}`)
    return this.#waiting.splice(at, 1)[0] as CommandOf<Type>
  }

  /** What the read that waits asks for. */
  asked(): ReadRequest {
    const read = this.#waiting.find((each) => each.type === 'read')
    if (read === undefined) throw new Error('no read waits')
    return read.request
  }

  floor(partition: number = 0): bigint | undefined {
    return this.asked().partitions.find((each) => each.partition === partition)?.floor
  }

  /** Answers the read that waits. */
  read(rows: readonly OutboxRow[] = [], answer: Answer = {}): void {
    const { read, request } = this.take('read')
    this.#answerRead(read, request, rows, answer)
  }

  /** Answers the look for news that waits, and tells what it asked for; `null`: it cannot be told. */
  readNews(rows: readonly OutboxRow[] | null = [], answer: Answer = {}): NewsRequest {
    const { read, request } = this.take('readNews')
    if (rows !== null) this.#answerRead(read, request, rows, answer)
    else {
      this.mind.readReturned(read, null, this.now)
      this.decide()
    }
    return request
  }

  #answerRead(
    read: number,
    request: Pick<ReadRequest, 'partitions'>,
    rows: readonly OutboxRow[],
    answer: Answer,
  ): void {
    this.#xmax = answer.xmax ?? this.#xmax + 1n
    const result: ReadResult = {
      snapshot: { xmax: this.#xmax, open: answer.open ?? [] },
      server: answer.server ?? 'server',
      serverTimeMs: answer.serverTimeMs ?? this.now,
      inRecovery: answer.inRecovery ?? false,
      hasLines: answer.hasLines ?? false,
      rewinds: new Map(
        request.partitions.map(({ partition }) => [partition, partition === 0 ? (answer.rewind ?? 0n) : 0n]),
      ),
      tops: new Map(answer.top === undefined ? [] : [[0, answer.top]]),
      unseen: new Set(answer.isUnseen === true ? [0] : []),
      marks: new Map(answer.mark === undefined ? [] : [[0, answer.mark]]),
      nextDueInMs: answer.nextDueInMs ?? null,
      rows,
      orphans: answer.orphans ?? [],
    }
    this.mind.readReturned(read, result, this.now)
    this.decide()
  }

  /** Answers the next send, and tells what was in it. */
  send(...fates: readonly Fate[]): string[] {
    const { send, rows } = this.take('send')
    const last = fates.at(-1) ?? confirmed
    this.mind.sendEnded(
      send,
      rows.map((_, i) => fates[i] ?? last),
      this.now,
    )
    this.decide()
    return rows.map((each) => each.id)
  }

  /** Answers the next take, and tells what was in it. */
  takes(...outcomes: readonly TakeOutcome[]): string[] {
    const { take, rows } = this.take('take')
    const last = outcomes.at(-1) ?? 'taken'
    this.mind.taken(
      take,
      rows.map((_, i) => outcomes[i] ?? last),
      this.now,
    )
    this.decide()
    return rows.map((each) => each.id)
  }

  /** Answers the next one send, and tells what was in it. */
  dispatches(...results: readonly OnceResult[]): string[] {
    const { take, rows } = this.take('dispatch')
    this.mind.dispatched(
      take,
      rows.map((_, i) => results[i] ?? null),
      this.now,
    )
    this.decide()
    return rows.map((each) => each.id)
  }

  /** Answers the next end of a take, and tells what it says is lost. */
  ends(): Loss[] {
    const { take, losses } = this.take('endTaken')
    this.mind.takeEnded(take)
    this.decide()
    return [...losses]
  }

  /** Answers the take-over and the question that follows it: what broker and store say. */
  takesOver(last: FencedNote | null = null, store: Partial<FencedState> = {}): void {
    const { call } = this.take('takeOver')
    this.mind.tookOver(call, { last, lineage })
    this.decide()
    const asked = this.take('fencedState')
    const known = { number: 0n, lineage: store.number === undefined ? null : lineage, ...store }
    this.mind.fencedStateReturned(asked.call, known, this.now)
    this.decide()
  }

  /** Answers the next transaction, and tells its number and what was in it. */
  publishes(outcome: FencedOutcome = { outcome: 'committed' }): [bigint, ...string[]] {
    const { call, number, rows } = this.take('publishFenced')
    this.mind.publishedFenced(call, outcome, this.now)
    this.decide()
    return [number, ...rows.map((each) => each.id)]
  }

  /** Answers the next fenced delete, and tells its number and what was in it. */
  removesFenced(holds: boolean = true): [bigint, ...string[]] {
    const { call, note, rows } = this.take('removeFenced')
    this.mind.removedFenced(call, holds)
    this.decide()
    return [note.number, ...rows.map((each) => each.id)]
  }

  remove(): string[] {
    const { remove, rows } = this.take('remove')
    this.mind.removed(remove)
    this.decide()
    return rows.map((each) => each.id)
  }

  /** Answers the next line, dead letter, move or expiry, and tells what was in it. */
  write(type: 'block' | 'bury' | 'move' | 'lose', ...outcomes: readonly FollowerOutcome[]): string[] {
    const command = this.take(type)
    const rows: readonly RowRef[] =
      command.type === 'block' ? command.lines : command.type === 'bury' ? command.letters : command.rows
    const last = outcomes.at(-1) ?? 'written'
    this.mind.written(
      command.write,
      rows.map((_, i) => outcomes[i] ?? last),
    )
    this.decide()
    return rows.map((each) => each.id)
  }
}
