import { type AnyChannel, type ResolvedConfig, resolveConfig, type WaybillConfig } from '../../app/config.ts'
import type {
  BatchConsumeOptions,
  ConsumeOptions,
  TransformConsumeOptions,
} from '../../app/consume-options.ts'
import type { Registration } from '../../app/consumers.ts'
import { assembleWaybill } from '../../app/create-waybill.ts'
import { plansOf, type PlannedConsumer } from '../../app/plans.ts'
import { registrationOf } from '../../app/registration.ts'
import type { Waybill } from '../../app/waybill.ts'
import { decode } from '../../consumer/decode.ts'
import type { BatchContext } from '../../consumer/handler.ts'
import type { ConsumerForm } from '../../guarantees/plan.ts'
import type { WaybillError } from '../../kernel/errors.ts'
import { silentLogger } from '../../kernel/logger.ts'
import type { Envelope, Message } from '../../kernel/message.ts'
import type { SomeChannel } from '../../outbox/channel.ts'
import { targetOf } from '../../outbox/messages.ts'
import { Activity } from './activity.ts'
import { MemoryBroker } from './broker.ts'
import { StandingClock } from './clock.ts'
import { deliver, type DeliverOptions, type DeliveryReport } from './deliver.ts'
import { FailingRuns } from './failing-runs.ts'
import { type Holding, Records } from './records.ts'
import { memoryStore } from './store.ts'
import { receivedEnvelope, type ReceiveOptions } from './received.ts'
import { MemoryTransactions, type TestTransaction, withoutDatabase } from './transactions.ts'
import { Wire } from './wire.ts'

export interface TestWaybillOptions {
  /**
   * Begins a transaction of your stand-in for the database: its `tx` is what `transaction()` and handlers get. Called for each.
   * @default a `tx` that can be published with, and throws at any other use
   */
  readonly begin?: () => TestTransaction
}

/** A consumer's registration, of whichever kind. */
type Register = (
  channel: SomeChannel,
  options: ConsumeOptions | BatchConsumeOptions | TransformConsumeOptions,
  handler: Registration['handler'],
) => void

/** A message that a consumer gave up. */
export interface FailedMessage {
  readonly message: Pick<Message, 'id' | 'channel' | 'key' | 'headers' | 'createdAt'>
  readonly consumer: string
  /** `follower`: it stood behind a message of its key that was parked. */
  readonly reason: 'attempts-exhausted' | 'rejected' | 'unreadable' | 'follower'
  /** It is no dead letter: it waits for an operator, with all that stands behind it in its key. */
  readonly isBlocked: boolean
  readonly attempts: number
  readonly errorCode: string
  readonly error: string
}

/** An instance in memory. Made by {@link createTestWaybill}. */
export interface TestWaybill<Handle = unknown> extends Waybill<Handle> {
  /** What was published on the channel and committed, or sent, or emitted by a transform: in that order, as a handler would get it. */
  published<Payload, Input>(channel: SomeChannel<Payload, Input>): readonly Message<Payload>[]
  /**
   * Hands everything that is waiting to the consumers that were registered, and what they publish meanwhile, until nothing is left:
   * failed messages are tried again without waiting for the pauses, up to their last attempt. Calls `start()`.
   *
   * Rejects with `WB_HANDLER_FAILED`, the handler's own error as its `cause`, where a message was given up or lost, unless
   * `mayFail`; with `WB_TIMED_OUT` where a message is tried without an end; and as `start()` does.
   */
  deliver(options?: DeliverOptions): Promise<DeliveryReport>
  /**
   * A message from another service, for the next `deliver`. Returns its id. Nothing of it is checked here, as nothing is at a
   * broker: what its consumers make of it shows.
   */
  receive(channel: SomeChannel, payload: unknown, options?: ReceiveOptions): string
  /** Messages that were given up so far, in that order. */
  failed(): readonly FailedMessage[]
}

/**
 * The instance of a configuration in memory, for unit tests: no database, no broker, no relay, no time that passes. Channels are
 * compiled and refused for the store and transports of the configuration, which are not opened; validation, encoding, middleware,
 * consumers, retries, inbox and upcasts are the real ones. Environment variables are not read.
 *
 * What it does not show: that your SQL is right; that effects and inbox really commit together; what two processes at the same time,
 * a crash, a lost connection or an outage do; leases, order between transactions, limits, retention, and what a broker refuses.
 * `waybill check-idempotency` and `waybill prove` are there for that. Desks of operators, `inspect()` and `drain()` reject.
 *
 * Throws as `createWaybill` does.
 */
export function createTestWaybill<Handle = unknown>(
  config: WaybillConfig<Handle>,
  options: TestWaybillOptions = {},
): TestWaybill<Handle> {
  const given = resolveConfig(config)
  const wire = new Wire()
  const activity = new Activity()
  const clock = new StandingClock()
  const records = new Records((channel) => holdingOf(given, channel))
  let misused: WaybillError | undefined
  const begin = options.begin ?? (() => withoutDatabase((error) => (misused ??= error)))
  const transactions = new MemoryTransactions(begin, activity)
  const brokers = new Map(
    [...given.transports].map(([name, each]) => [name, new MemoryBroker(name, each, wire, records)] as const),
  )
  const onCommitted = (envelopes: readonly Envelope[], isDelayed: boolean): void =>
    wire.add(
      envelopes.map((envelope) => {
        const { address, transport } = given.routes.get(envelope.channel)!
        return { envelope, address, transport, isDelayed }
      }),
    )
  const inMemory: ResolvedConfig<Handle> = {
    ...given,
    store: given.store && {
      ...given.store,
      open: () => memoryStore(given.store!.kind, { transactions, records, onCommitted }),
    },
    transports: new Map([...brokers].map(([name, { definition }]) => [name, definition])),
    // The relay is what `deliver` stands for.
    runsRelay: false,
    // Nobody asks for replays here: to look for them would be most of what happens in a day.
    settings: { ...given.settings, httpPort: 0, notify: 'off', pollMaxMs: 86_400_000 },
    logger: config.logger ?? silentLogger,
    monitors: [],
  }
  const instance = assembleWaybill(inMemory, { clock, random: () => 0.5 })
  const consumers: PlannedConsumer[] = []
  const thrown = new Map<string, unknown>()
  const failingRuns = new FailingRuns()
  const watch = async (
    messages: readonly Message[],
    { tx, idempotencyKeys }: Pick<BatchContext, 'tx' | 'idempotencyKeys'>,
    next: () => Promise<void>,
  ): Promise<void> => {
    // A lost connection uses up the attempt of a message that runs alone, and a lost answer none: where attempts are few, losses alone
    // would make dead letters. With others, or before it has failed, it runs uncounted.
    const starts = (i: number): number => records.starts.get(idempotencyKeys[i]!) ?? 0
    if (messages.some(({ channel }, i) => starts(i) >= attemptsOf(given, channel))) transactions.spare(tx)
    try {
      await activity.during(next)
      for (const key of idempotencyKeys) failingRuns.succeeded(key)
    } catch (error) {
      for (const [i, message] of messages.entries()) {
        thrown.set(message.id, error)
        failingRuns.failed(idempotencyKeys[i]!, message, attemptsOf(given, message.channel))
      }
      throw error
    }
  }
  instance.use({
    consume: (message, { tx, idempotencyKey }, next) =>
      watch([message], { tx, idempotencyKeys: [idempotencyKey] }, next),
    consumeBatch: watch,
  })
  const register = instance.consume.bind(instance) as Register
  const formsOf = (channel: string): ReadonlyMap<string, ConsumerForm> =>
    new Map(Object.entries(plansOf(inMemory, consumers).get(channel)?.consumers ?? {}))
  const settlesFirst = (): boolean =>
    [...given.routes.values()].some(
      ({ channel }) => channel.guarantee === 'at-most-once' && formsOf(channel.name).size > 0,
    )
  const channelOf = (name: string): AnyChannel => given.routes.get(name)!.channel

  return Object.assign(instance, {
    consume(...call: Parameters<Register>): void {
      register(...call)
      const { route, facts } = registrationOf(inMemory, ...call)
      consumers.push({ channel: route.channel.name, facts })
    },
    published(channel: SomeChannel): readonly Message[] {
      const route = targetOf(given.routes, channel, 'published(channel)')
      return wire.envelopes
        .filter((envelope) => envelope.channel === channel.name)
        .map((envelope) => decode(envelope, route.channel) as Message)
    },
    receive(channel: SomeChannel, payload: unknown, how: ReceiveOptions = {}): string {
      const {
        channel: known,
        address,
        transport,
      } = targetOf(given.routes, channel, 'receive(channel, payload)')
      const envelope = receivedEnvelope(known, payload, how)
      wire.receive({ envelope, address, transport, isDelayed: false })
      return envelope.id
    },
    deliver: (how: DeliverOptions = {}) =>
      deliver(
        {
          instance,
          wire,
          brokers,
          records,
          transactions,
          clock,
          activity,
          channelOf,
          formsOf,
          owedMs: () => (settlesFirst() ? given.settings.holdMaxMs : 0),
          thrown: (id) => thrown.get(id),
          misuse: () => misused,
          endless: () => failingRuns.takeEndless(),
        },
        how,
      ),
    failed: () =>
      records.givenUp.map(({ envelope: { id, channel, key, headers, createdAt }, ...rest }) => ({
        ...rest,
        message: { id, channel, key, headers, createdAt },
      })),
  }) as TestWaybill<Handle>
}

function attemptsOf({ routes, settings }: ResolvedConfig, name: string): number {
  return routes.get(name)!.channel.maxAttempts ?? settings.maxAttempts
}

/** Over a local transport it is the relay that gives up on a message, and so the key may be held. */
function holdingOf({ routes, transports }: ResolvedConfig, name: string): Holding | null {
  const { channel, transport } = routes.get(name)!
  if (!transports.get(transport)!.capabilities.isLocal || !channel.ordered) return null
  return channel.onPoison === 'skip' ? null : channel.onPoison
}
