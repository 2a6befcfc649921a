import { WaybillError } from '../kernel/errors.ts'
import { headersFrom, type MessageHeaders } from '../kernel/message.ts'

/** An RFC 9110 token: what every transport can carry as a name. */
const namePattern = /^[\w!#$%&'*+.^`|~-]{1,200}$/u

/** What Waybill and the transports write themselves, and what `headersFrom` would drop in silence. */
const reserved =
  /^(?:ce[_-].*|waybill-.*|content-type|traceparent|tracestate|baggage|__proto__|constructor|prototype)$/iu

/**
 * The headers of a message: the caller's, then what trace propagation adds to them. Refuses names and values that a
 * transport or the database could not carry (W5).
 */
export function messageHeaders(
  given: unknown,
  trace: readonly (readonly [string, string])[],
  what: string,
): MessageHeaders {
  if (given === undefined) return headersFrom(trace)
  if (typeof given !== 'object' || given === null || Array.isArray(given) || given instanceof Map) {
    throw new WaybillError('WB_INVALID_HEADER', `The headers of ${what} must be an object of texts.`)
  }
  const own: [string, string][] = []
  for (const [name, value] of Object.entries(given as Record<string, unknown>))
    own.push([name, checked(name, value, what)])
  return headersFrom([...trace, ...own])
}

function checked(name: string, value: unknown, what: string): string {
  const refuse = (sentence: string): never => {
    throw new WaybillError('WB_INVALID_HEADER', `A header of ${what} ${sentence}`)
  }
  if (name.includes('\0') || (typeof value === 'string' && value.includes('\0'))) {
    throw new WaybillError(
      'WB_NUL_CHARACTER',
      `A header of ${what} holds a NUL character, which the database cannot store.`,
    )
  }
  const shown = JSON.stringify(name.slice(0, 80))
  if (!namePattern.test(name))
    refuse(`has the name ${shown}: use 1 to 200 letters, digits, hyphens, dots and the like.`)
  if (reserved.test(name))
    refuse(`has the name ${shown}, which Waybill or its transports write themselves. Rename it.`)
  if (typeof value !== 'string')
    return refuse(`named ${shown} is a ${typeof value}: header values are texts.`)
  if (!value.isWellFormed()) refuse(`named ${shown} is not valid Unicode: it holds half of a surrogate pair.`)
  return value
}

/** Bytes that names and values take, as transports count them. */
export function headerBytes(headers: MessageHeaders): number {
  let bytes = 0
  for (const name in headers) bytes += Buffer.byteLength(name) + Buffer.byteLength(headers[name]!)
  return bytes
}
