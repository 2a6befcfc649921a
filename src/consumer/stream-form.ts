import type { HandlerEntry, HandlerTable } from './handler.ts'
import { UnreadableError } from './outcome.ts'
import type { WindowEntry } from './window-entry.ts'

/**
 * How a stream is worked through, all of it alike, since the broker keeps one position for it. `first`: settled, then run ·
 * `checkpoint`: strictly in order, its position kept in the handlers' database · `transform`: strictly in order, its position kept
 * by the broker in the transaction of the outputs · `after`: run, then settled.
 */
export type StreamForm = 'first' | 'checkpoint' | 'transform' | 'after'

/** Whether a hole in the stream would be for ever, so that it is worked through without one. */
export function isInOrder(form: StreamForm): boolean {
  return form === 'checkpoint' || form === 'transform'
}

/**
 * The form of a stream, by the channels of its address, the strictest of them. At-most-once beside another guarantee, and a
 * transform beside another form, are refused before anything starts; where they meet all the same, nothing is run before it is
 * settled. So too for a stream that is of no address known here.
 */
export function streamForm(handlers: HandlerTable, stream: string): StreamForm {
  const own = entriesOf(handlers, stream)
  const forms = new Set((own.length > 0 ? own : [...handlers.values()]).map(({ form }) => form))
  if (forms.has('settle-first')) return 'first'
  if (forms.has('transform')) return 'transform'
  return forms.has('checkpoint') ? 'checkpoint' : 'after'
}

/** Streams are named for the address they are of; the longest that fits is the one. */
export function entriesOf(handlers: HandlerTable, stream: string): readonly HandlerEntry[] {
  let best: HandlerEntry[] = []
  for (const entry of handlers.values()) {
    const { address } = entry.channel
    const longest = best[0]?.channel.address
    if (!stream.startsWith(address) || address.length < (longest?.length ?? 0)) continue
    if (address === longest) best.push(entry)
    else best = [entry]
  }
  return best
}

/**
 * Why a message may not be run on the stream it came over: somebody has put it at an address of another channel, where nothing
 * would keep it from running twice.
 */
export function misplaced(handlers: HandlerTable, entry: WindowEntry): UnreadableError | undefined {
  const { envelope, stream } = entry.delivery
  const form = envelope === null ? undefined : handlers.get(envelope.channel)?.form
  const isRight =
    (entry.form === 'first' && form !== 'transform') ||
    (form !== 'settle-first' && (form !== 'checkpoint' || entry.form === 'checkpoint'))
  // A transform runs in another transaction than all others, and those not in its.
  const isElsewhere = form !== undefined && (form === 'transform') !== (entry.form === 'transform')
  if (isRight && !isElsewhere) return undefined
  return new UnreadableError(
    'WB_ENVELOPE_INVALID',
    `Message ${envelope!.id} of channel "${envelope!.channel}" came over "${stream}", which is of another channel: ` +
      'there nothing keeps it from running twice.',
  )
}
