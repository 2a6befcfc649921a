import { WaybillError } from '../kernel/errors.ts'
import { didYouMean } from '../kernel/suggest.ts'
import { checkGuarantee, type Guarantee } from '../guarantees/guarantees.ts'
import type { SchemaInput, SchemaOutput, StandardSchema } from './standard-schema.ts'

/** How a channel is declared. */
export interface ChannelOptions<Payload = unknown, Input = Payload> {
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
   * Failed attempts after which a message becomes a dead letter.
   * @default the setting `maxAttempts`
   */
  readonly maxAttempts?: number
}

/** A named, typed stream of messages with a guarantee. `Input` is what `publish` takes, `Payload` what handlers get. */
export interface Channel<Payload = unknown, Input = Payload> {
  readonly name: string
  readonly guarantee: Guarantee
  readonly ordered: boolean
  readonly address: string
  readonly maxAttempts: number | undefined
  readonly schema: StandardSchema<Input, Payload> | undefined
  /** The key of a payload, or `undefined` where the channel declares no `key`. */
  keyOf(payload: Payload): string | undefined
  /** This channel over the transport that the configuration has under this name. */
  via(transport: string): RoutedChannel<Payload, Input>
}

export interface RoutedChannel<Payload = unknown, Input = Payload> {
  readonly channel: Channel<Payload, Input>
  readonly transport: string
}

const optionNames = ['name', 'guarantee', 'schema', 'key', 'ordered', 'address', 'maxAttempts'] as const
const namePattern = /^[A-Za-z0-9._-]{1,200}$/u

/**
 * Declares a channel. With a schema the payload's types are the schema's; without one give the type,
 * `defineChannel<Order>({ … })`, or leave it unknown.
 */
export function defineChannel<Schema extends StandardSchema>(
  options: ChannelOptions<SchemaOutput<Schema>, SchemaInput<Schema>> & { readonly schema: Schema },
): Channel<SchemaOutput<Schema>, SchemaInput<Schema>>
export function defineChannel<Payload = unknown>(
  options: ChannelOptions<Payload> & { readonly schema?: never },
): Channel<Payload>
export function defineChannel(options: ChannelOptions): Channel {
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
  const channel: Channel = Object.freeze({
    name,
    guarantee: checkGuarantee(options.guarantee ?? 'at-least-once', name),
    ordered,
    address,
    maxAttempts,
    schema,
    keyOf: (payload: unknown) => key?.(payload),
    via: (transport: string) => Object.freeze({ channel, transport: checkTransport(transport, name) }),
  })
  return channel
}

function checkName(options: unknown): string {
  const name = typeof options === 'object' && options !== null && 'name' in options ? options.name : undefined
  if (typeof name !== 'string' || !namePattern.test(name) || name === '.' || name === '..') {
    throw new WaybillError(
      'WB_INVALID_OPTION',
      "A channel's name has 1 to 200 letters, digits, dots, underscores and hyphens, and is not . or ..; " +
        `${typeof name === 'string' ? JSON.stringify(name.slice(0, 80)) : `a name of type ${typeof name}`} is not one.`,
    )
  }
  return name
}

function checkTransport(transport: unknown, name: string): string {
  if (typeof transport === 'string' && transport !== '') return transport
  throw new WaybillError(
    'WB_INVALID_OPTION',
    `Channel "${name}": via() takes the name of a transport of the configuration, as in via('kafka').`,
  )
}
