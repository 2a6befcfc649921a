import type { HeldKey } from '../ports/keys.ts'
import { ageText } from './dead-letter-text.ts'
import type { Page } from './output.ts'
import { tableText } from './table.ts'

/** One line for each key that is held, or single message that is tried again. */
export function heldKeysText(keys: readonly HeldKey[], page: Page, now: Date): string {
  return tableText(
    [
      { title: 'state' },
      { title: 'for', isNumber: true },
      { title: 'channel' },
      { title: 'key' },
      { title: 'consumer' },
      { title: 'tries', isNumber: true },
      { title: 'next try' },
      { title: 'last error' },
    ],
    keys.map((key) => [
      key.state,
      ageText(key.firstFailedAt, now),
      key.channel,
      // Where nothing is kept in order the line is of one message.
      key.key ?? `message ${key.id}`,
      key.consumer === '' ? '(relay)' : key.consumer,
      String(key.attempts),
      nextTry(key, now),
      `${key.errorCode}: ${key.error}`,
    ]),
    page,
  )
}

function nextTry({ state, retryAt, parkedMessages }: HeldKey, now: Date): string {
  if (state === 'blocked') return 'waits for you'
  if (state === 'parked') return `${parkedMessages === 10_000 ? '10,000 or more' : parkedMessages} in dead`
  if (retryAt === null || retryAt <= now) return 'now'
  return `in ${ageText(now, retryAt)}`
}

/** What somebody can do about keys in these states. */
export function keySteps(keys: readonly HeldKey[]): readonly string[] {
  const states = new Set(keys.map(({ state }) => state))
  return [
    ...(states.has('blocked') || states.has('retrying')
      ? ['Mended? `waybill keys unblock` tries the heads again now.']
      : []),
    ...(states.has('parked') ? ['Mended? `waybill dead replay` brings parked keys back, in order.'] : []),
    'Not to be mended? `waybill keys skip` gives the head up, and its key goes on.',
  ]
}
