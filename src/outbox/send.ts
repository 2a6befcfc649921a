import { WaybillError } from '../kernel/errors.ts'
import type { NewMessage } from '../ports/outbox-writer.ts'
import type { OutboundMessage } from '../ports/transport.ts'
import type { Channel, SomeChannel } from './channel.ts'
import type { Many } from './many.ts'
import { throughMiddleware, type PublishMiddleware } from './middleware.ts'
import {
  checkOptionNames,
  makeMessages,
  messageOptionNames,
  targetOf,
  type MessageOptions,
  type PublishTarget,
} from './messages.ts'

export interface SendOptions extends MessageOptions {
  /** How long it is tried, in milliseconds. Not on at-most-once, where nothing is tried again. @default the setting `sendDeadlineMs` */
  readonly deadlineMs?: number
  /** Gives up waiting, as the deadline does. */
  readonly signal?: AbortSignal
}

/** An hour, as the setting. */
const longestMs = 3_600_000
const sendOptionNames = [...messageOptionNames, 'deadlineMs', 'signal']

/**
 * Sends one message, or {@link Many}, without a database transaction. On an at-most-once channel: once, and nothing is awaited
 * beyond the socket (and, before the first message of a topic, at most `publishTimeoutMs` for a broker that leads it); what
 * certainly did not leave is counted in `status()`. On the others: resolves when the transport has
 * confirmed all of them, trying again with the same ids until the deadline.
 *
 * Throws `PublishOutcomeUnknownError` where the deadline passed and a message may be there, `WB_PUBLISH_REJECTED` where one
 * certainly is not; of several messages the others may have been sent.
 */
export interface Send {
  <Payload, Input>(
    channel: Channel<Payload, Input, boolean, true>,
    payloads: Many<NoInfer<Input>>,
    options?: SendOptions,
  ): Promise<readonly string[]>
  <Payload, Input>(
    channel: Channel<Payload, Input, boolean, true>,
    payload: NoInfer<Input>,
    options?: SendOptions,
  ): Promise<string>
}

export interface SendLimits {
  readonly deadlineMs: number
  readonly signal: AbortSignal | undefined
}

/** Where messages of a channel leave. Resolves when all are on their way, as the channel's guarantee has it. */
export interface Outlet {
  send(messages: readonly OutboundMessage[], limits: SendLimits): Promise<void>
  /** Settles what still waits, as the deadline would. */
  giveUp?(): void
}

export interface SendTarget extends PublishTarget {
  readonly address: string
}

export interface SendParts {
  /** By channel name. */
  readonly targets: ReadonlyMap<string, SendTarget>
  readonly outletFor: (channel: SomeChannel) => Outlet
  readonly deadlineMs: number
  /** Around each call, the first one outermost. @default none */
  readonly middleware?: readonly PublishMiddleware[]
  /** @default UUIDv7 */
  readonly newId?: () => string
}

export function createSend(parts: SendParts): Send {
  const send = (
    channel: SomeChannel,
    payload: unknown,
    options: SendOptions = {},
  ): Promise<string | readonly string[]> =>
    throughMiddleware(
      parts.middleware ?? [],
      { method: 'send', channel: channel?.name, payload, options },
      (changed) => hand(channel, changed.payload, changed.options),
    )

  const hand = async (
    channel: SomeChannel,
    payload: unknown,
    options: SendOptions,
  ): Promise<string | readonly string[]> => {
    const target = targetOf(parts.targets, channel, 'send(channel, payload)')
    const { name } = target.channel
    mayBeSent(target.channel)
    refuseDelay(options, name)
    checkOptionNames(options, sendOptionNames, 'send', name)
    const { deadlineMs = parts.deadlineMs, signal } = options
    if (!Number.isFinite(deadlineMs) || deadlineMs <= 0 || deadlineMs > longestMs) {
      throw new WaybillError(
        'WB_INVALID_OPTION',
        `\`deadlineMs\` of send on channel "${name}" must be a number of milliseconds above 0, at most ${longestMs}.`,
      )
    }
    if (signal !== undefined && !(signal instanceof AbortSignal)) {
      throw new WaybillError(
        'WB_INVALID_OPTION',
        `\`signal\` of send on channel "${name}" must be an AbortSignal.`,
      )
    }
    if (signal?.aborted === true) {
      throw new WaybillError('WB_ABORTED', `Nothing was sent on channel "${name}": its signal had aborted.`)
    }
    const { messages, isMany } = await makeMessages({ target, payload, options, newId: parts.newId })
    const createdAt = new Date()
    const outbound = messages.map((message) => outboundOf(message, target, createdAt))
    if (outbound.length > 0) await parts.outletFor(target.channel).send(outbound, { deadlineMs, signal })
    const ids = messages.map(({ id }) => id)
    return isMany ? ids : ids[0]!
  }
  return send as Send
}

function outboundOf(message: NewMessage, target: SendTarget, createdAt: Date): OutboundMessage {
  return { envelope: { ...message, channel: target.channel.name, createdAt }, address: target.address }
}

/** Without the outbox there is nowhere to wait. */
function refuseDelay(options: unknown, channel: string): void {
  if (typeof options !== 'object' || options === null) return
  const name = ['notBefore', 'delayMs'].find((each) => each in options)
  if (name === undefined) return
  throw new WaybillError(
    'WB_INVALID_OPTION',
    `\`${name}\` cannot be given to send() on channel "${channel}": nothing is stored that could wait. Use publish() in a transaction.`,
  )
}

function mayBeSent(channel: SomeChannel): void {
  if (channel.isSent) return
  throw new WaybillError(
    'WB_GUARANTEE_UNSUPPORTED',
    `Channel "${channel.name}" is ${channel.guarantee}: its messages go through the outbox. Use publish() in a transaction.`,
  )
}
