import { WaybillError } from '../kernel/errors.ts'
import { isName, nameRule } from '../kernel/names.ts'
import { didYouMean } from '../kernel/suggest.ts'
import { checkGuarantee, type Guarantee } from '../guarantees/guarantees.ts'
import type { BacklogLimit, DeclaredForm, PoisonPolicy } from '../guarantees/plan.ts'
import { type BacklogOptions, backlogLimitOf } from './backlog-limit.ts'
import type { SchemaInput, SchemaOutput, StandardSchema } from './standard-schema.ts'

/** How a channel is declared. */
export interface ChannelOptions<Payload = unknown, Input = Payload> extends BacklogOptions {
  /** Letters, digits, `.`, `_` and `-`, at most 200: it is also a Kafka topic and an AMQP name. */
  readonly name: string
  /** @default 'at-least-once' */
  readonly guarantee?: Guarantee
  /**
   * Any Standard Schema. A payload is validated before it is stored, and the schema's output is what is stored.
   * @default none: any value that JSON can carry
   */
  readonly schema?: StandardSchema<Input, Payload>
  /**
   * The key of a payload (of the schema's output).
   * @default none: the key is given to each `publish`, or there is none
   */
  readonly key?: (payload: Payload) => string
  /**
   * Messages of one key are handled in the order their transactions committed; each message then needs a key.
   * @default true where `key` is given
   */
  readonly ordered?: boolean
  /**
   * Where the transport sends it: a Kafka topic, …
   * @default the channel's name
   */
  readonly address?: string
  /**
   * Whether messages may be stored in the outbox, in a transaction. `false`: only `send()` takes the channel, and it needs
   * no store.
   * @default true
   */
  readonly outbox?: boolean
  /**
   * Consumers, those of other services too, and how each keeps a message from having its effect twice. Where every one has an
   * inbox, exactly-once needs no transaction of the broker: they know a copy by its id.
   * @default none declared
   */
  readonly consumers?: Readonly<Record<string, DeclaredForm>>
  /**
   * Version of the payload that `publish` writes and handlers get, from 1.
   * @default 1
   */
  readonly version?: number
  /**
   * Makes a payload of an older version one of this `version`, before the handler runs.
   * @default none: a message of another version is kept as a dead letter, as unreadable
   */
  readonly upcast?: (payload: unknown, version: number) => Payload
  /**
   * Failed attempts after which a message becomes a dead letter.
   * @default the setting `maxAttempts`
   */
  readonly maxAttempts?: number
  /**
   * What becomes of a key whose head is given up: out of attempts, rejected for good, or unreadable. `block`: the message stays and
   * its key waits for an operator · `park`: it is a dead letter, and what follows it in its key is kept beside it, to be replayed
   * in order · `skip`: it is a dead letter, and its key goes on. Other keys go on in any case. A consumer of a broker always goes
   * on past its dead letters. Without order only `skip` means anything.
   * @default 'skip'
   */
  readonly onPoison?: PoisonPolicy
  /**
   * Milliseconds after which a message that waits in the outbox is not sent any more, by the database's clock: it is deleted and
   * counted in `losses`. A delayed one waits from the end of its delay on. It is never deleted before its time, and may be sent by as much later as a read of the outbox takes.
   * What is blocked or parked waits for its operator, however old it is.
   * @default none: a message waits without end
   */
  readonly expiresAfterMs?: number
}

/**
 * A named, typed stream of messages with a guarantee. `Input` is what `publish` takes, `Payload` what handlers get; `Stored`:
 * `publish()` takes it, `Sent`: `send()` takes it.
 */
export interface Channel<
  Payload = unknown,
  Input = Payload,
  Stored extends boolean = true,
  Sent extends boolean = true,
> {
  readonly name: string
  readonly guarantee: Guarantee
  readonly ordered: boolean
  readonly address: string
  readonly maxAttempts: number | undefined
  readonly onPoison: PoisonPolicy
  readonly expiresAfterMs: number | undefined
  readonly backlogLimit: BacklogLimit | undefined
  readonly consumers: Readonly<Record<string, DeclaredForm>>
  readonly version: number
  readonly isStored: Stored
  readonly isSent: Sent
  readonly schema: StandardSchema<Input, Payload> | undefined
  /** The key of a payload, or `undefined` where the channel declares no `key`. */
  keyOf(payload: Payload): string | undefined
  /** See `ChannelOptions.upcast`; `undefined` where the channel has none. */
  upcast(payload: unknown, version: number): Payload | undefined
  readonly hasUpcast: boolean
  /** This channel over the transport that the configuration has under this name. */
  via(transport: string): RoutedChannel<Payload, Input, Stored, Sent>
}

export interface RoutedChannel<
  Payload = unknown,
  Input = Payload,
  Stored extends boolean = true,
  Sent extends boolean = true,
> {
  readonly channel: Channel<Payload, Input, Stored, Sent>
  readonly transport: string
}

/** Any channel, as the inside of Waybill handles it. */
export type SomeChannel<Payload = unknown, Input = Payload> = Channel<Payload, Input, boolean, boolean>

const optionNames = [
  'name',
  'guarantee',
  'schema',
  'key',
  'ordered',
  'address',
  'outbox',
  'consumers',
  'version',
  'upcast',
  'maxAttempts',
  'onPoison',
  'expiresAfterMs',
  'maxPending',
  'whenFull',
] as const
const poisonPolicies: readonly PoisonPolicy[] = ['block', 'park', 'skip']
const declaredForms: readonly DeclaredForm[] = ['inbox', 'checkpoint', 'idempotent', 'none']

/** Exactly-once: only in a transaction, through the outbox. */
interface Exact {
  readonly guarantee: 'exactly-once'
  readonly outbox?: true
}

/** Without the outbox: only sent. */
interface Direct {
  readonly guarantee?: Exclude<Guarantee, 'exactly-once'>
  readonly outbox: false
}

type WithSchema<Schema extends StandardSchema> = ChannelOptions<SchemaOutput<Schema>, SchemaInput<Schema>> & {
  readonly schema: Schema
}
type WithoutSchema<Payload> = ChannelOptions<Payload> & { readonly schema?: never }

/**
 * Declares a channel. With a schema the payload's types are the schema's; without one give the type,
 * `defineChannel<Order>({ … })`, or leave it unknown.
 */
export function defineChannel<Schema extends StandardSchema>(
  options: WithSchema<Schema> & Exact,
): Channel<SchemaOutput<Schema>, SchemaInput<Schema>, true, false>
export function defineChannel<Schema extends StandardSchema>(
  options: WithSchema<Schema> & Direct,
): Channel<SchemaOutput<Schema>, SchemaInput<Schema>, false, true>
export function defineChannel<Schema extends StandardSchema>(
  options: WithSchema<Schema>,
): Channel<SchemaOutput<Schema>, SchemaInput<Schema>>
export function defineChannel<Payload = unknown>(
  options: WithoutSchema<Payload> & Exact,
): Channel<Payload, Payload, true, false>
export function defineChannel<Payload = unknown>(
  options: WithoutSchema<Payload> & Direct,
): Channel<Payload, Payload, false, true>
export function defineChannel<Payload = unknown>(options: WithoutSchema<Payload>): Channel<Payload>
export function defineChannel(options: ChannelOptions): SomeChannel {
  const name = checkName(options)
  const refuse = (sentence: string): never => {
    throw new WaybillError('WB_INVALID_OPTION', `Channel "${name}": ${sentence}`)
  }
  for (const option of Object.keys(options)) {
    if (!optionNames.some((known) => known === option)) {
      refuse(`unknown option "${option}".${didYouMean(option, optionNames)}`)
    }
  }
  const { schema, key, ordered = key !== undefined, address = name, maxAttempts } = options
  if (key !== undefined && typeof key !== 'function') refuse('`key` must be a function of the payload.')
  if (typeof ordered !== 'boolean') refuse('`ordered` must be true or false.')
  if (schema !== undefined && typeof schema?.['~standard']?.validate !== 'function') {
    refuse(
      '`schema` must be a Standard Schema (https://standardschema.dev), as Zod, Valibot and ArkType make them.',
    )
  }
  if (typeof address !== 'string' || address === '' || address.length > 249 || address.includes('\0')) {
    refuse('`address` must be a text of 1 to 249 characters.')
  }
  if (maxAttempts !== undefined && !(Number.isSafeInteger(maxAttempts) && maxAttempts >= 1)) {
    refuse('`maxAttempts` must be a whole number, 1 or more.')
  }
  const { outbox = true, consumers = {}, version = 1, upcast, onPoison = 'skip', expiresAfterMs } = options
  const guarantee = checkGuarantee(
    options.guarantee === undefined ? 'at-least-once' : options.guarantee,
    name,
  )
  if (typeof outbox !== 'boolean') refuse('`outbox` must be true or false.')
  if (guarantee === 'exactly-once' && !outbox) {
    refuse('exactly-once needs the outbox: leave `outbox` out, or choose at-least-once and send().')
  }
  if (!Number.isSafeInteger(version) || version < 1) refuse('`version` must be a whole number, 1 or more.')
  if (upcast !== undefined && typeof upcast !== 'function') {
    refuse('`upcast` must be a function of the older payload and its version.')
  }
  checkConsumers(consumers, refuse)
  checkWaiting({ ordered, outbox, guarantee, onPoison, expiresAfterMs }, refuse)
  const channel: SomeChannel = Object.freeze({
    name,
    guarantee,
    ordered,
    address,
    maxAttempts,
    onPoison,
    expiresAfterMs,
    backlogLimit: backlogLimitOf({ ...options, outbox }, refuse),
    consumers: Object.freeze({ ...consumers }),
    version,
    isStored: outbox,
    isSent: guarantee !== 'exactly-once',
    schema,
    hasUpcast: upcast !== undefined,
    upcast: (payload: unknown, from: number) => upcast?.(payload, from),
    keyOf: (payload: unknown) => key?.(payload),
    via: (transport: string) => Object.freeze({ channel, transport: checkTransport(transport, name) }),
  })
  return channel
}

function checkName(options: unknown): string {
  const name = typeof options === 'object' && options !== null && 'name' in options ? options.name : undefined
  if (typeof name !== 'string' || !isName(name)) {
    throw new WaybillError(
      'WB_INVALID_OPTION',
      `A channel has ${nameRule}; ` +
        `${typeof name === 'string' ? JSON.stringify(name.slice(0, 80)) : `a name of type ${typeof name}`} is not one.`,
    )
  }
  return name
}

function checkConsumers(consumers: unknown, refuse: (sentence: string) => never): void {
  if (typeof consumers !== 'object' || consumers === null || Array.isArray(consumers)) {
    refuse("`consumers` must be an object of forms by name, as in { shipping: 'inbox' }.")
  }
  for (const [consumer, form] of Object.entries(consumers as Record<string, unknown>)) {
    if (!isName(consumer)) {
      refuse(`\`consumers\` names ${JSON.stringify(consumer.slice(0, 80))}: a consumer has ${nameRule}.`)
    }
    if (declaredForms.some((known) => known === form)) continue
    refuse(
      `consumer "${consumer}" is declared as ${JSON.stringify(form)}: use one of ${declaredForms.join(', ')}.` +
        didYouMean(String(form), declaredForms),
    )
  }
}

interface Waiting {
  readonly ordered: boolean
  readonly outbox: boolean
  readonly guarantee: Guarantee
  readonly onPoison: unknown
  readonly expiresAfterMs: number | undefined
}

function checkWaiting(options: Waiting, refuse: (sentence: string) => never): void {
  const { ordered, outbox, guarantee, onPoison, expiresAfterMs } = options
  if (!poisonPolicies.some((known) => known === onPoison)) {
    refuse(
      `\`onPoison\` is ${JSON.stringify(onPoison)}: use one of ${poisonPolicies.join(', ')}.` +
        didYouMean(String(onPoison), poisonPolicies),
    )
  }
  if (onPoison !== 'skip') {
    const sentence = `\`onPoison: '${String(onPoison)}'\` holds a key back, and this channel has none to hold`
    if (!ordered) refuse(`${sentence}: give it a \`key\` and order, or leave \`onPoison\` out.`)
    if (!outbox) refuse(`${sentence} in the outbox: leave \`onPoison\` out.`)
    if (guarantee === 'at-most-once') {
      refuse(`at-most-once sends nothing twice, so no message is ever poison: leave \`onPoison\` out.`)
    }
  }
  if (expiresAfterMs === undefined) return
  if (!Number.isSafeInteger(expiresAfterMs) || expiresAfterMs < 1) {
    refuse('`expiresAfterMs` must be a whole number of milliseconds, 1 or more.')
  }
  if (!outbox)
    refuse(
      '`expiresAfterMs` is how long a message may wait in the outbox, and this channel has none: leave it out.',
    )
}

function checkTransport(transport: unknown, name: string): string {
  if (typeof transport === 'string' && transport !== '') return transport
  throw new WaybillError(
    'WB_INVALID_OPTION',
    `Channel "${name}": via() takes the name of a transport of the configuration, as in via('kafka').`,
  )
}
