import { foreignMessageId } from '../kernel/ids.ts'
import { headersFrom, type Envelope } from '../kernel/message.ts'
import type { Delivery } from '../ports/transport.ts'
import type { HandlerTable } from './handler.ts'
import { entriesOf } from './stream-form.ts'

const streamHeader = 'waybill-stream'

/** Whether an envelope is one of {@link brokenEnvelope}: no message of anybody's has a header of that name. */
export function isBroken({ headers }: Envelope): boolean {
  return streamHeader in headers
}

/**
 * An envelope for a delivery that could not be decoded, so that it can be kept as a dead letter with the bytes that came.
 * Its id is made from where it stood: each copy of it gets the same inbox row.
 */
export function brokenEnvelope(handlers: HandlerTable, delivery: Delivery): Envelope {
  const { stream, position } = delivery
  return {
    id: foreignMessageId(stream, String(position)),
    channel: entriesOf(handlers, stream)[0]?.channel.name ?? stream,
    key: null,
    payload: delivery.raw?.payload ?? new Uint8Array(),
    contentType: 'application/octet-stream',
    headers: headersFrom([
      [streamHeader, stream],
      ['waybill-position', String(position)],
    ]),
    // Nobody said when it was written.
    createdAt: new Date(0),
  }
}
