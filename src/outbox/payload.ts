import { describeError, WaybillError } from '../kernel/errors.ts'
import { findJsonFault } from './json-fault.ts'
import { pathText } from './standard-schema.ts'

export interface EncodedPayload {
  readonly payload: Uint8Array
  readonly contentType: string
}

const jsonType = /^[\w.+-]+\/(?:[\w.+-]+\+)?json(?:\s*;|$)/iu
const mediaType = /^[\w!#$&^.+-]{1,100}\/[\w!#$&^.+-]{1,100}(?:\s*;[\x20-\x7e]{0,100})?$/u

export function isJson(contentType: string): boolean {
  return jsonType.test(contentType)
}

/** A `Uint8Array` as it is; anything else as JSON. `what` names the message in errors. */
export function encodePayload(value: unknown, contentType: string | undefined, what: string): EncodedPayload {
  if (contentType !== undefined && (typeof contentType !== 'string' || !mediaType.test(contentType))) {
    throw new WaybillError(
      'WB_INVALID_OPTION',
      `The content type of ${what} is not a media type such as image/png.`,
    )
  }
  if (value instanceof Uint8Array)
    return { payload: value, contentType: contentType ?? 'application/octet-stream' }
  if (contentType !== undefined && !isJson(contentType)) {
    throw new WaybillError(
      'WB_INVALID_OPTION',
      `${what} has content type ${contentType}: its payload must be given as a Uint8Array, since it is not JSON.`,
    )
  }
  return { payload: Buffer.from(toJson(value, what)), contentType: contentType ?? 'application/json' }
}

function toJson(value: unknown, what: string): string {
  let fault
  let text
  try {
    fault = findJsonFault(value)
    text = fault === undefined ? JSON.stringify(value) : undefined
  } catch (error) {
    // A getter or toJSON of the caller's threw. Its sentence may quote the payload, so only its kind is passed on.
    throw new WaybillError(
      'WB_UNSERIALISABLE',
      `The payload of ${what} threw ${describeError(error).code} on the way to JSON.`,
    )
  }
  if (fault !== undefined) {
    throw new WaybillError(
      'WB_UNSERIALISABLE',
      `The payload of ${what} cannot be written as JSON without loss: ${pathText(fault.path)} is ${fault.what}.`,
    )
  }
  if (text === undefined) {
    throw new WaybillError('WB_UNSERIALISABLE', `The payload of ${what} has no JSON form.`)
  }
  return text
}
