import { WaybillError } from '../kernel/errors.ts'
import { outputMessageId } from '../kernel/ids.ts'
import type { Message } from '../kernel/message.ts'
import type { Channel, SomeChannel } from '../outbox/channel.ts'
import { payloadsOf, type Many } from '../outbox/many.ts'
import {
  checkOptionNames,
  makeMessages,
  messageOptionNames,
  targetOf,
  type MessageOptions,
  type PublishTarget,
} from '../outbox/messages.ts'
import type { OutboundMessage } from '../ports/transport.ts'
import { around, type ConsumeMiddleware, type EntryOptions } from './handler-entry.ts'
import type { HandlerContext, HandlerEntry } from './handler.ts'

/**
 * Puts a message, or {@link Many}, out on a channel that the transform lists; it is there when the position of the message that
 * is handled is, or not at all. Resolves with the id, or the ids in order: where none is given it is made of the input's, so
 * that each run on a message gives the same ids.
 *
 * Rejects with what `publish` does; the message has then failed, also where nobody awaits it.
 */
export interface Emit {
  <Payload, Input>(
    channel: Channel<Payload, Input, boolean, boolean>,
    payloads: Many<NoInfer<Input>>,
    options?: MessageOptions,
  ): Promise<readonly string[]>
  <Payload, Input>(
    channel: Channel<Payload, Input, boolean, boolean>,
    payload: NoInfer<Input>,
    options?: MessageOptions,
  ): Promise<string>
}

export interface TransformContext extends Omit<HandlerContext, 'tx'> {
  readonly emit: Emit
}

/** Makes outputs of a message. What it throws takes back all of them, and the message is tried again later. */
export type TransformHandler<Payload = unknown> = (
  message: Message<Payload>,
  context: TransformContext,
) => Promise<void> | void

export interface OutputTarget extends PublishTarget {
  readonly address: string
}

/** What the handlers of one transaction put out, in order. It stands in the place of `tx`. */
export class Outputs {
  readonly messages: OutboundMessage[] = []
}

interface TransformOptions extends EntryOptions {
  readonly consumer: string
  /** Channels it may emit to, by their names. */
  readonly targets: ReadonlyMap<string, OutputTarget>
  readonly handler: TransformHandler
  /** The first is the outermost. There is no `tx` for them. */
  readonly middleware?: readonly ConsumeMiddleware[]
}

/** The entry of a channel whose messages are transformed. */
export function createTransformEntry(options: TransformOptions): HandlerEntry {
  const { consumer, targets, handler, middleware, ...entry } = options
  const run = around<Message, HandlerContext & TransformContext>(middleware ?? [], handler)
  return {
    ...entry,
    async handle(message, { tx, ...context }) {
      if (!(tx instanceof Outputs))
        throw new WaybillError('WB_HANDLER_FAILED', 'A transform ran without its transport.')
      const emission = new Emission(consumer, message.id, targets)
      try {
        await run(message, { ...context, tx: undefined, emit: emission.emit })
      } finally {
        emission.close()
      }
      tx.messages.push(...(await emission.made()))
    },
  }
}

/** What one run of a handler puts out. */
class Emission {
  /** In the order of the calls, whichever is validated first. */
  readonly #calls: Promise<readonly OutboundMessage[]>[] = []
  readonly #counts = new Map<string, number>()
  readonly #consumer: string
  readonly #input: string
  readonly #targets: ReadonlyMap<string, OutputTarget>
  #isClosed = false

  constructor(consumer: string, input: string, targets: ReadonlyMap<string, OutputTarget>) {
    this.#consumer = consumer
    this.#input = input
    this.#targets = targets
  }

  readonly emit: Emit = ((channel: SomeChannel, payload: unknown, options: MessageOptions = {}) => {
    const call = this.#make(channel, payload, options)
    this.#calls.push(call)
    const ids = call.then((messages) => {
      const all = messages.map(({ envelope }) => envelope.id)
      return payloadsOf(payload) === undefined ? all[0]! : all
    })
    // `made` reports it where nobody awaits this one.
    ids.catch(() => {})
    return ids
  }) as Emit

  close(): void {
    this.#isClosed = true
  }

  async made(): Promise<OutboundMessage[]> {
    return (await Promise.all(this.#calls)).flat()
  }

  async #make(
    channel: SomeChannel,
    payload: unknown,
    options: MessageOptions,
  ): Promise<readonly OutboundMessage[]> {
    if (this.#isClosed) {
      throw new WaybillError(
        'WB_NOT_RUNNING',
        'emit() was called after its handler had ended: await what it does.',
      )
    }
    const target = targetOf(this.#targets, channel, 'emit(channel, payload)')
    const { name } = target.channel
    checkOptionNames(options, messageOptionNames, 'emit', name)
    // Counted at the call: with an asynchronous schema a later one may be made first.
    let index = this.#counts.get(name) ?? 0
    this.#counts.set(name, index + (payloadsOf(payload)?.length ?? 1))
    const { messages } = await makeMessages({ target, payload, options })
    const createdAt = new Date()
    return messages.map((message) => {
      const id = options.id === undefined ? this.#idOf(name, index++) : message.id
      return { envelope: { ...message, id, channel: name, createdAt }, address: target.address }
    })
  }

  #idOf(channel: string, index: number): string {
    return outputMessageId(this.#consumer, this.#input, channel, index)
  }
}
