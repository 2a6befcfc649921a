import { describeError, WaybillError } from '../kernel/errors.ts'
import type { SomeChannel } from './channel.ts'

/** Keys stand in database indexes, whose entries are bounded (2,700 bytes in PostgreSQL): a longer one would fail later (W5). */
const maxKeyBytes = 1024

/**
 * The key a message is stored with: the one given, or the channel's own. Refuses what would be poison later: none on an
 * ordered channel, an empty one, NUL (PostgreSQL cannot store it), a lone surrogate (it has no UTF-8 form, and two of them
 * would become one key), one too long.
 */
export function messageKey(
  channel: SomeChannel,
  payload: unknown,
  given: unknown,
  what: string,
): string | null {
  const key = given ?? channelKey(channel, payload, what)
  if (key === undefined || key === null) {
    if (!channel.ordered) return null
    throw new WaybillError(
      'WB_KEY_REQUIRED',
      `${what} has no key, and the channel is ordered: give \`key\`, to publish or to defineChannel.`,
    )
  }
  if (typeof key !== 'string' || key === '') {
    const found = key === '' ? 'an empty text' : `a ${typeof key}`
    throw new WaybillError(
      'WB_KEY_REQUIRED',
      `The key of ${what} is ${found}; a key is a text of at least one character.`,
    )
  }
  if (key.includes('\0')) {
    throw new WaybillError(
      'WB_NUL_CHARACTER',
      `The key of ${what} holds a NUL character, which the database cannot store.`,
    )
  }
  if (!key.isWellFormed()) {
    throw new WaybillError(
      'WB_UNSERIALISABLE',
      `The key of ${what} is not valid Unicode: it holds half of a surrogate pair.`,
    )
  }
  const bytes = Buffer.byteLength(key)
  if (bytes > maxKeyBytes) {
    throw new WaybillError(
      'WB_MESSAGE_TOO_LARGE',
      `The key of ${what} has ${bytes} bytes; a key has at most ${maxKeyBytes}.`,
    )
  }
  return key
}

function channelKey(channel: SomeChannel, payload: unknown, what: string): unknown {
  try {
    return channel.keyOf(payload)
  } catch (error) {
    // The thrown sentence may quote the payload, so only its kind is passed on (S16).
    throw new WaybillError(
      'WB_KEY_REQUIRED',
      `The channel's key function threw ${describeError(error).code} on ${what}.`,
    )
  }
}
