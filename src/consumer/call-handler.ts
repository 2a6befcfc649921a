import { idempotencyKey } from '../kernel/ids.ts'
import type { Message } from '../kernel/message.ts'
import { decode, upcast } from './decode.ts'
import type { HandlerEntry } from './handler.ts'
import type { WorkItem } from './work-item.ts'

/** A message that can be run: it has a handler, and its payload could be decoded. */
export interface Ready<Ref> {
  readonly index: number
  readonly item: WorkItem<Ref>
  readonly entry: HandlerEntry
  /** Spent by the first run: a handler may change what it is given, so a second run decodes anew. */
  message: Message | undefined
}

/** What the calls of one transaction have in common. */
export interface Call {
  readonly consumer: string
  readonly tx: unknown
  readonly signal: AbortSignal
  readonly attempt: number
}

/** The messages of each call, in order: those that follow each other on a channel with a batch handler share one. */
export function callsOf<Ref>(ready: readonly Ready<Ref>[]): readonly (readonly Ready<Ref>[])[] {
  const calls: Ready<Ref>[][] = []
  for (const one of ready) {
    const last = calls.at(-1)
    if (last?.[0]?.entry === one.entry && one.entry.handleAll !== undefined) last.push(one)
    else calls.push([one])
  }
  return calls
}

/**
 * Upcasts what is of an older version, and calls the handler. Throws, or rejects with, what that throws; there is a promise only
 * where something is to be waited for.
 */
export function callHandler<Ref>(together: readonly Ready<Ref>[], call: Call): Promise<void> | void {
  const messages = together.map(messageOf)
  if (!messages.some((message) => message instanceof Promise)) {
    return callWith(messages as Message[], together, call)
  }
  return Promise.all(messages.map((message) => Promise.resolve(message))).then((decoded) =>
    callWith(decoded, together, call),
  )
}

function callWith<Ref>(
  messages: readonly Message[],
  together: readonly Ready<Ref>[],
  { consumer, tx, signal, attempt }: Call,
): Promise<void> | void {
  const { entry } = together[0]!
  if (entry.handleAll !== undefined) {
    let keys: readonly string[] | undefined
    return entry.handleAll(messages, {
      tx,
      signal,
      attempt,
      // Made when they are asked for: most handlers need none.
      get idempotencyKeys() {
        return (keys ??= messages.map(({ id }) => idempotencyKey(consumer, id)))
      },
    })
  }
  const [message] = messages
  return entry.handle(message!, {
    tx,
    signal,
    attempt,
    get idempotencyKey() {
      return idempotencyKey(consumer, message!.id)
    },
  })
}

function messageOf<Ref>(one: Ready<Ref>): Message | Promise<Message> {
  const { channel } = one.entry
  const message = one.message ?? decode(one.item.envelope, channel)
  one.message = undefined
  return message instanceof Promise
    ? message.then((decoded) => upcast(decoded, channel))
    : upcast(message, channel)
}
