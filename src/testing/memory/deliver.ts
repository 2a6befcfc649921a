import type { Waybill } from '../../app/waybill.ts'
import type { ConsumerForm } from '../../guarantees/plan.ts'
import { isWaybillError, WaybillError } from '../../kernel/errors.ts'
import type { SomeChannel } from '../../outbox/channel.ts'
import { chanceOf, type Chance } from '../chance.ts'
import type { Activity } from './activity.ts'
import type { MemoryBroker } from './broker.ts'
import type { StandingClock } from './clock.ts'
import type { EndlessMessage } from './failing-runs.ts'
import type { GivenUp, Records } from './records.ts'
import type { MemoryTransactions, TransactionFault } from './transactions.ts'
import type { Wire, WireMessage } from './wire.ts'

export interface DeliverOptions {
  /**
   * How often each message is handed to its handlers. The copies come when everything has been handled, in the same order, as after a
   * crash between a commit and its settlement; only to consumers whose guarantee leaves copies on the wire: none at most once, none to
   * a `checkpoint` or a transform.
   * @default 1
   */
  readonly copies?: number
  /**
   * Another order than that of the commits, the same for the same number: messages of one key of an ordered channel keep theirs.
   * @default the order of commits
   */
  readonly seed?: number
  /**
   * Whether something goes wrong now and then, as `seed` has it (1 where there is none): the connection of a handler's transaction is lost
   * before its commit, or the answer to its commit is; a message comes again later, where `copies` would bring it again. No connection is
   * lost where that would use up a message's last attempt, so that faults alone make no dead letter.
   * At-most-once messages may be lost by it, which is no failure then.
   * @default false
   */
  readonly faults?: boolean
  /** Whether messages that were published with a delay come as well. @default false */
  readonly delayed?: boolean
  /** Whether messages may end as dead letters, blocked or lost; `deliver` rejects otherwise. @default false */
  readonly mayFail?: boolean
}

/** What one `deliver` has done, over all consumers. */
export interface DeliveryReport {
  /** Runs of handlers that were committed, counted by message. */
  readonly handled: number
  /** Copies that an inbox kept from their handler. */
  readonly duplicates: number
  /** Attempts that failed; of each message the last may have succeeded. */
  readonly failed: number
  /** Messages that were given up: dead letters, and those that block their key. */
  readonly dead: number
  /** At-most-once messages whose handler failed. */
  readonly lost: number
}

export interface DeliverParts {
  readonly instance: Pick<Waybill, 'start' | 'status'>
  readonly wire: Wire
  readonly brokers: ReadonlyMap<string, MemoryBroker>
  readonly records: Records
  readonly transactions: MemoryTransactions
  readonly clock: StandingClock
  readonly activity: Activity
  readonly channelOf: (name: string) => SomeChannel
  /** The form of each consumer that was registered for a channel. */
  readonly formsOf: (channel: string) => ReadonlyMap<string, ConsumerForm>
  /** How long a message may have to wait for its handler when all is settled; 0 where nothing is settled first. */
  readonly owedMs: () => number
  /** What a handler last threw on this message. */
  readonly thrown: (id: string) => unknown
  /** Something used what there is no stand-in for. */
  readonly misuse: () => WaybillError | undefined
  /** The first message that was run without success far more often than it has attempts, since this was last asked. */
  readonly endless: () => EndlessMessage | undefined
}

/** Retries go on in time that is not waited for, for so long: longer than every attempt of the default settings takes. */
const mostMs = 24 * 3_600_000

/** Hands over what was published, and what handlers publish meanwhile, until nobody has anything left to do. */
export async function deliver(parts: DeliverParts, options: DeliverOptions): Promise<DeliveryReport> {
  const { instance, records, transactions } = parts
  const { copies = 1, faults = false, delayed = false, mayFail = false } = options
  await instance.start()
  const before = countersOf(instance)
  const already = { givenUp: records.givenUp.length, losses: records.losses.length }
  const seed = options.seed ?? (faults ? 1 : undefined)
  const chance = seed === undefined ? null : chanceOf(seed)
  const inTurn = orderOf(parts, chance)
  if (faults && chance !== null) transactions.drawFault = () => drawnFault(chance())
  try {
    const handed = await handOverAll(parts, inTurn, delayed)
    for (let copy = 2; copy <= copies; copy++) await copyAll(parts, inTurn(handed))
    // One of a few, each on its own: what came after it may have been handled long ago.
    if (faults && chance !== null) await copyAll(parts, inTurn(handed.filter(() => chance() < copyRate)))
  } finally {
    transactions.drawFault = () => 'none'
  }
  const after = countersOf(instance)
  const givenUp = records.givenUp.slice(already.givenUp).filter(({ reason }) => reason !== 'follower')
  const losses = records.losses.slice(already.losses)
  if (!mayFail) mustHaveGoneWell(parts, givenUp, losses, faults)
  return {
    handled: after.handled - before.handled,
    duplicates: after.duplicates - before.duplicates,
    failed: after.failed - before.failed,
    dead: givenUp.length,
    lost: losses.length,
  }
}

const copyRate = 0.3

/** A fifth of all transactions: seldom enough for most messages to come through, often enough for two faults on one of a few. */
function drawnFault(drawn: number): TransactionFault {
  if (drawn < 0.1) return 'lost'
  return drawn < 0.2 ? 'unanswered' : 'none'
}

/** A second copy of each, and whatever its handlers publish, where they have not kept it from having an effect. */
async function copyAll(parts: DeliverParts, messages: readonly WireMessage[]): Promise<void> {
  for (const message of messages)
    parts.brokers.get(message.transport)!.handOver(message, bearsCopies(parts, message))
  await untilQuiet(parts)
  await handOverAll(parts, (published) => published, false)
}

type InTurn = (messages: readonly WireMessage[]) => readonly WireMessage[]

async function handOverAll(
  parts: DeliverParts,
  inTurn: InTurn,
  delayed: boolean,
): Promise<readonly WireMessage[]> {
  const handed: WireMessage[] = []
  for (let next = parts.wire.take(delayed); next.length > 0; next = parts.wire.take(delayed)) {
    for (const message of inTurn(next)) parts.brokers.get(message.transport)!.handOver(message)
    await untilQuiet(parts)
    handed.push(...next)
  }
  return handed
}

/** A fenced relay and a settled position leave no copy on the wire; an inbox and an idempotent handler have to bear them. */
function bearsCopies({ formsOf }: DeliverParts, { envelope }: WireMessage): (consumer: string) => boolean {
  const forms = formsOf(envelope.channel)
  return (consumer) => forms.get(consumer) === 'inbox' || forms.get(consumer) === 'settle-after'
}

function orderOf({ channelOf }: DeliverParts, chance: Chance | null): InTurn {
  if (chance === null) return (messages) => messages
  return (messages) => {
    // Places are drawn for whole lines: what is kept in order among itself takes the places of its line from the first to the last.
    const lines = Map.groupBy(messages, (message) => {
      const { id, channel, key } = message.envelope
      return key !== null && channelOf(channel).ordered ? `key\0${channel}\0${key}` : `id\0${id}`
    })
    const places = shuffled(
      [...lines].flatMap(([line, own]) => own.map(() => line)),
      chance,
    )
    return places.map((line) => lines.get(line)!.shift()!)
  }
}

function shuffled<T>(items: readonly T[], chance: Chance): readonly T[] {
  const mixed = [...items]
  for (let last = mixed.length - 1; last > 0; last--) {
    const other = Math.floor(chance() * (last + 1))
    ;[mixed[last], mixed[other]] = [mixed[other]!, mixed[last]!]
  }
  return mixed
}

/** Until everything is settled and no handler runs. Time passes only while nobody could do anything without it. */
async function untilQuiet({ brokers, clock, activity, owedMs, endless }: DeliverParts): Promise<void> {
  const limit = clock.now() + mostMs
  let last = { began: activity.began, at: clock.now() }
  for (;;) {
    // All that needs no time has been done after a turn of the event loop; two, for what hands over to another loop in one.
    await new Promise(setImmediate)
    await new Promise(setImmediate)
    const tried = endless()
    if (tried !== undefined) throw triedForEver(brokers, tried)
    if (activity.began !== last.began) last = { began: activity.began, at: clock.now() }
    if (!activity.isIdle) {
      await activity.ended
    } else if (![...brokers.values()].every(({ isSettled }) => isSettled)) {
      if (!clock.advance(limit)) throw stillWaiting(brokers)
    } else if (owedMs() === 0 || !clock.advance(last.at + owedMs())) {
      return
    }
  }
}

function stillWaiting(brokers: ReadonlyMap<string, MemoryBroker>): WaybillError {
  const waiting = [...brokers.values()].flatMap(({ unsettled }) => unsettled)
  const [first] = waiting
  if (first === undefined)
    return new WaybillError('WB_TIMED_OUT', 'A message still waits after a day of retries.')
  const more = waiting.length === 1 ? '' : `, with ${waiting.length - 1} more behind it`
  return new WaybillError(
    'WB_TIMED_OUT',
    `Consumer "${first.consumer}" still tries message ${first.id} on channel "${first.channel}"${more}, after a day of retries. ${whatToDo}`,
  )
}

function triedForEver(
  brokers: ReadonlyMap<string, MemoryBroker>,
  { id, channel, runs }: EndlessMessage,
): WaybillError {
  const waiting = [...brokers.values()].flatMap(({ unsettled }) => unsettled)
  const consumer = waiting.find((each) => each.id === id && each.channel === channel)?.consumer
  const who = consumer === undefined ? 'A consumer' : `Consumer "${consumer}"`
  return new WaybillError(
    'WB_TIMED_OUT',
    `${who} has tried message ${id} on channel "${channel}" ${runs} times in a row, and would for ever. ${whatToDo}`,
  )
}

const whatToDo =
  'RetryLater counts as no attempt: let what the handler waits for come about in the test, or let it throw another error in the end.'

function countersOf(
  instance: Pick<Waybill, 'status'>,
): Pick<DeliveryReport, 'handled' | 'duplicates' | 'failed'> {
  const sum = { handled: 0, duplicates: 0, failed: 0 }
  for (const part of instance.status().parts) {
    if (part.kind !== 'consumer') continue
    sum.handled += part.counters.handled
    sum.duplicates += part.counters.duplicates
    sum.failed += part.counters.failed
  }
  return sum
}

/**
 * An assertion that failed in a handler is a failure of its message; a test that did not hear of it would be green. What faults lost
 * has no error of its handler, for they strike behind it, or one of ours, where it had a transaction of its own.
 */
function mustHaveGoneWell(
  { thrown, misuse }: DeliverParts,
  givenUp: readonly GivenUp[],
  losses: Records['losses'],
  faults: boolean,
): void {
  const wrong = misuse()
  if (wrong !== undefined) throw wrong
  const [dead] = givenUp
  const isMeant = (error: unknown): boolean => error !== undefined && !isWaybillError(error)
  const meant = faults ? losses.filter(({ loss }) => isMeant(thrown(loss.id))) : losses
  const [lost] = meant
  const refuse = (consumer: string, channel: string, id: string, what: string, error: string): never => {
    const count = givenUp.length + meant.length
    const more = count > 1 ? ` (${count} messages in all)` : ''
    throw new WaybillError(
      'WB_HANDLER_FAILED',
      `Consumer "${consumer}" ${what} message ${id} on channel "${channel}"${more}: ${error} ` +
        'Where that is meant: deliver({ mayFail: true }).',
      { cause: thrown(id) },
    )
  }
  if (dead !== undefined) {
    const { consumer, envelope, attempts, error } = dead
    const times = attempts === 1 ? '' : ` after ${attempts} attempts`
    refuse(consumer, envelope.channel, envelope.id, `gave up${times}`, error)
  }
  if (lost !== undefined) refuse(lost.consumer, lost.loss.channel, lost.loss.id, 'lost', lost.loss.code)
}
