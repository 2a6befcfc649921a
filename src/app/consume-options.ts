import type { ConsumerFacts } from '../guarantees/plan.ts'
import { WaybillError } from '../kernel/errors.ts'
import { isName, nameRule } from '../kernel/names.ts'
import { didYouMean } from '../kernel/suggest.ts'
import type { AnyChannel } from './config.ts'
import type { Settings } from './settings.ts'

export interface ConsumeOptions {
  /**
   * The consumer's name: each gets every message of the channel once, shared by all processes that use the name. It names
   * the consumer group at the broker and stands in the inbox, so renaming it is starting anew.
   */
  readonly consumer: string
  /**
   * The handler may run again on the same message without another effect. Effectively-once channels need it; `waybill
   * check-idempotency` shows whether it is so.
   * @default false
   */
  readonly idempotent?: boolean
  /**
   * How an exactly-once channel's messages are kept from having their effect twice: an `inbox` row for each, or a `checkpoint` of
   * the broker's position, both in the handler's transaction. `explain` says what each needs.
   * @default 'inbox'
   */
  readonly form?: 'inbox' | 'checkpoint'
  /**
   * How long one call of the handler may take, in milliseconds.
   * @default the setting `handlerTimeoutMs`
   */
  readonly timeoutMs?: number
  /**
   * Transactions side by side, at most: messages of different keys are handled in them at one time, those of one key never.
   * @default 1
   */
  readonly concurrency?: number
  /** See {@link BatchConsumeOptions}. Named here, as the next one is, so that a handler gets its types from the right signature. */
  readonly batch?: false
  /** See {@link TransformConsumeOptions}. */
  readonly transform?: never
}

/** For a handler that takes all messages that came together in one call. */
export interface BatchConsumeOptions extends Omit<ConsumeOptions, 'batch'> {
  readonly batch: true
}

/** For a handler that makes messages of messages, in a transaction of their transport. */
export interface TransformConsumeOptions extends Omit<ConsumeOptions, 'idempotent' | 'form' | 'transform'> {
  /**
   * The channels it may `emit` to, on the transport of the input. Position and outputs are committed in one transaction, so that
   * each message has its outputs exactly once; handlers get no `tx`, and what they do elsewhere may be repeated.
   */
  readonly transform: readonly AnyChannel[]
}

const names = ['consumer', 'idempotent', 'form', 'timeoutMs', 'concurrency', 'batch', 'transform'] as const

/** What was asked for at a registration, judged. */
export interface CheckedOptions {
  readonly facts: ConsumerFacts
  readonly isBatch: boolean
  /** Channels a transform may emit to; `undefined` where it is none. */
  readonly transform: readonly AnyChannel[] | undefined
}

/** What `consume` was given, judged. Throws `WB_INVALID_OPTION`. */
export function checkConsumeOptions(
  options: Omit<ConsumeOptions, 'batch' | 'transform'> & {
    readonly batch?: boolean
    readonly transform?: readonly AnyChannel[]
  },
  handler: unknown,
  settings: Settings,
): CheckedOptions {
  const refuse = (sentence: string): never => {
    throw new WaybillError('WB_INVALID_OPTION', sentence)
  }
  const unknown = Object.keys(options ?? {}).find((name) => !names.some((known) => known === name))
  if (unknown !== undefined) refuse(`Unknown option "${unknown}" of consume.${didYouMean(unknown, names)}`)
  if (typeof handler !== 'function') {
    refuse('consume(channel, { consumer }, handler) takes a function as handler.')
  }
  const { consumer, idempotent = false, form, batch = false, transform } = options ?? {}
  const { timeoutMs = settings.handlerTimeoutMs, concurrency = 1 } = options ?? {}
  if (typeof consumer !== 'string' || !isName(consumer)) {
    refuse(`A consumer has ${nameRule}: { consumer: 'shipping' }.`)
  }
  if (typeof idempotent !== 'boolean') refuse(`Consumer "${consumer}": \`idempotent\` must be true or false.`)
  if (form !== undefined && form !== 'inbox' && form !== 'checkpoint') {
    refuse(`Consumer "${consumer}": \`form\` must be 'inbox' or 'checkpoint'.`)
  }
  if (typeof batch !== 'boolean') refuse(`Consumer "${consumer}": \`batch\` must be true or false.`)
  if (transform !== undefined && (!Array.isArray(transform) || transform.length === 0)) {
    refuse(`Consumer "${consumer}": \`transform\` must list the channels that its handler emits to.`)
  }
  if (transform !== undefined && batch) {
    refuse(`Consumer "${consumer}": a transform handles one message at a time; leave \`batch\` out.`)
  }
  for (const [name, value, most] of [
    ['timeoutMs', timeoutMs, 3_600_000],
    ['concurrency', concurrency, 256],
  ] as const) {
    if (!Number.isSafeInteger(value) || value < 1 || value > most) {
      refuse(`Consumer "${consumer}": \`${name}\` must be a whole number from 1 to ${most}.`)
    }
  }
  return {
    facts: {
      name: consumer,
      isIdempotent: idempotent,
      form,
      transforms: transform !== undefined,
      concurrency,
      handlerTimeoutMs: timeoutMs,
    },
    isBatch: batch,
    transform,
  }
}
