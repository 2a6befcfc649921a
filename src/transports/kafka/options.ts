import type { ConnectionOptions } from 'node:tls'
import { WaybillError } from '../../kernel/errors.ts'
import { didYouMean } from '../../kernel/suggest.ts'

type Secret = string | (() => string | Promise<string>)

/** Credentials, as values or as functions that are asked at each connection. */
export interface KafkaSasl {
  readonly mechanism: 'PLAIN' | 'SCRAM-SHA-256' | 'SCRAM-SHA-512' | 'OAUTHBEARER'
  readonly username?: Secret
  readonly password?: Secret
  readonly token?: Secret
}

export interface KafkaTransportOptions {
  /** `host:port` of one broker or more; the others are learned from them. */
  readonly brokers: readonly string[]
  /** What the broker logs for these connections. @default the application's name */
  readonly clientId?: string
  /**
   * Largest payload with headers, in bytes; also the most that one send carries. Lower than the broker's
   * `message.max.bytes` by what key and envelope take.
   * @default 1000000
   */
  readonly maxBytes?: number
  /** Makes a topic that is missing, with the broker's default replication. @default true */
  readonly createTopics?: boolean
  /**
   * Partitions of a topic that is made here: so many members of a consumer can work on it. Raising it later moves keys to
   * other partitions, and order across the move is lost.
   * @default 4
   */
  readonly partitionsPerTopic?: number
  /**
   * How long the broker waits for a sign of life before it gives a consumer's partitions to others. The broker's own
   * limits hold (`group.min.session.timeout.ms`). With the `consumer` protocol the broker alone decides
   * (`group.consumer.session.timeout.ms`, 45 s by default), and this is how long it waits for partitions to be given back.
   * @default 10000
   */
  readonly sessionTimeoutMs?: number
  /**
   * The group's protocol: `classic`, or `consumer` (KIP-848, brokers from 4.0). Only `classic` carries transforms.
   * @default 'classic'
   */
  readonly groupProtocol?: 'classic' | 'consumer'
  /**
   * How long the topics keep a message, in milliseconds: after that Kafka cannot hand it over again. `explain` holds the inbox's
   * retention against it. `null`: without end.
   * @default 604800000 (7 days, the broker's own default)
   */
  readonly retentionMs?: number | null
  /** How long a transaction may stay open before the broker aborts it. @default 60000 */
  readonly transactionTimeoutMs?: number
  /** How long the broker remembers an idle transactional producer (`transactional.id.expiration.ms`). @default 604800000 */
  readonly producerExpiryMs?: number
  /**
   * How the transactional ids of this service begin; an outbox partition's is `<prefix>-outbox-<partition>`. It belongs to one
   * outbox: two that share a cluster under one prefix fence each other off all the time. Changing it needs a stop of everything
   * that runs under the old one. Where Kafka has access rules, they name these ids by their prefix.
   * @default 'waybill-' and the identity of the outbox in its database, so that two databases stay apart by themselves
   */
  readonly transactionalIdPrefix?: string
  /**
   * The compacted topic in which each transaction notes what it carried. Made where it is missing, with `createTopics`; one that
   * is there and not compacted is refused. Services may share it: their notes are told apart by transactional id.
   * @default 'waybill.positions'
   */
  readonly positionsTopic?: string
  /** How long a request to the broker may take, a commit of positions for one. @default 10000 */
  readonly requestTimeoutMs?: number
  /** TLS, with the options of `node:tls`. @default none */
  readonly tls?: ConnectionOptions
  /** @default none */
  readonly sasl?: KafkaSasl
}

export interface KafkaSettings extends KafkaTransportOptions {
  readonly maxBytes: number
  readonly createTopics: boolean
  readonly partitionsPerTopic: number
  readonly sessionTimeoutMs: number
  readonly requestTimeoutMs: number
  readonly groupProtocol: 'classic' | 'consumer'
  readonly retentionMs: number | null
  readonly transactionTimeoutMs: number
  readonly producerExpiryMs: number
  readonly positionsTopic: string
}

const days7 = 604_800_000

const names: readonly (keyof KafkaTransportOptions)[] = [
  'brokers',
  'clientId',
  'maxBytes',
  'createTopics',
  'partitionsPerTopic',
  'sessionTimeoutMs',
  'requestTimeoutMs',
  'groupProtocol',
  'retentionMs',
  'transactionTimeoutMs',
  'producerExpiryMs',
  'transactionalIdPrefix',
  'positionsTopic',
  'tls',
  'sasl',
]
const saslNames: readonly (keyof KafkaSasl)[] = ['mechanism', 'username', 'password', 'token']
const mechanisms: readonly KafkaSasl['mechanism'][] = [
  'PLAIN',
  'SCRAM-SHA-256',
  'SCRAM-SHA-512',
  'OAUTHBEARER',
]
const topicName = /^(?!\.{1,2}$)[\w.-]{1,249}$/u
const broker = /^(?:\[[\da-f:.]+\]|[^\s:/@[\]]+)(?::\d{1,5})?$/iu

/** No value is quoted: a URL in the wrong place may hold a password (S16). */
export function resolveOptions(options: KafkaTransportOptions): KafkaSettings {
  if (!isObject(options)) throw refusal('takes an object with `brokers`.')
  checkNames(options, names, '')
  const { brokers, clientId, createTopics = true, groupProtocol = 'classic', tls, sasl } = options
  const { transactionalIdPrefix, positionsTopic = 'waybill.positions' } = options
  if (
    !Array.isArray(brokers) ||
    brokers.length === 0 ||
    !brokers.every((b) => typeof b === 'string' && broker.test(b))
  ) {
    throw refusal(
      '`brokers` must be a list of `host:port`, one at least. Is an environment variable not set?',
    )
  }
  if (clientId !== undefined && (typeof clientId !== 'string' || !/^\S+$/u.test(clientId))) {
    throw refusal('`clientId` must be a text without spaces.')
  }
  if (
    transactionalIdPrefix !== undefined &&
    (typeof transactionalIdPrefix !== 'string' || !/^\S+$/u.test(transactionalIdPrefix))
  ) {
    throw refusal('`transactionalIdPrefix` must be a text without spaces.')
  }
  if (typeof positionsTopic !== 'string' || !topicName.test(positionsTopic)) {
    throw refusal('`positionsTopic` must be a name that Kafka takes: letters, digits, dots, _ and -.')
  }
  if (typeof createTopics !== 'boolean') throw refusal('`createTopics` must be true or false.')
  if (groupProtocol !== 'classic' && groupProtocol !== 'consumer') {
    throw refusal("`groupProtocol` must be 'classic' or 'consumer'.")
  }
  if (tls !== undefined && !isObject(tls))
    throw refusal('`tls` must be an object: the options of node:tls, or {}.')
  if (sasl !== undefined) checkSasl(sasl)
  return {
    ...options,
    createTopics,
    positionsTopic,
    maxBytes: whole(options, 'maxBytes', 1_000_000, 1024),
    partitionsPerTopic: whole(options, 'partitionsPerTopic', 4, 1),
    sessionTimeoutMs: whole(options, 'sessionTimeoutMs', 10_000, 500),
    requestTimeoutMs: whole(options, 'requestTimeoutMs', 10_000, 100),
    groupProtocol,
    retentionMs: options.retentionMs === null ? null : whole(options, 'retentionMs', days7, 1000),
    transactionTimeoutMs: whole(options, 'transactionTimeoutMs', 60_000, 1000),
    producerExpiryMs: whole(options, 'producerExpiryMs', days7, 1000),
  }
}

function checkSasl(sasl: KafkaSasl): void {
  if (!isObject(sasl)) throw refusal('`sasl` must be an object.')
  checkNames(sasl, saslNames, 'sasl.')
  if (!mechanisms.includes(sasl.mechanism))
    throw refusal(`\`sasl.mechanism\` must be one of ${mechanisms.join(', ')}.`)
  for (const name of ['username', 'password', 'token'] as const) {
    const given = sasl[name]
    if (given !== undefined && typeof given !== 'string' && typeof given !== 'function') {
      throw refusal(`\`sasl.${name}\` must be a text or a function that returns one.`)
    }
  }
}

type WholeName =
  | 'maxBytes'
  | 'partitionsPerTopic'
  | 'sessionTimeoutMs'
  | 'requestTimeoutMs'
  | 'retentionMs'
  | 'transactionTimeoutMs'
  | 'producerExpiryMs'

function whole(options: KafkaTransportOptions, name: WholeName, preset: number, least: number): number {
  const value = options[name] ?? preset
  if (!Number.isSafeInteger(value) || value < least || value > 0x7fffffff) {
    throw refusal(`\`${name}\` must be a whole number from ${least}.`)
  }
  return value
}

function checkNames(given: object, known: readonly string[], path: string): void {
  for (const name of Object.keys(given)) {
    if (!known.includes(name)) throw refusal(`unknown option "${path}${name}".${didYouMean(name, known)}`)
  }
}

function isObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function refusal(sentence: string): WaybillError {
  return new WaybillError('WB_INVALID_OPTION', `kafkaTransport: ${sentence}`)
}
