import pc from 'picocolors'
import { describe, expect, it } from 'vitest'
import { deadReasons, type FullDeadLetter } from '../ports/dead-letters.ts'
import type { HeldKey } from '../ports/keys.ts'
import { deadLettersText, deadLetterText, leftText, nextSteps } from './dead-letter-text.ts'
import { heldKeysText, keySteps } from './key-text.ts'

const now = new Date('2026-11-27T03:00:00Z')
const page = { colors: pc.createColors(false), width: 80 }

function letter(changes: Partial<FullDeadLetter> = {}): FullDeadLetter {
  return {
    number: 17,
    id: '01990a5c-6b1e-7c44-9d0e-2f1a8f3f7b10',
    channel: 'orders.placed',
    key: 'ann',
    createdAt: new Date('2026-11-27T00:00:00Z'),
    consumer: 'shipping',
    reason: 'attempts-exhausted',
    attempts: 5,
    errorCode: 'E_LAST',
    error: 'the carrier is closed',
    diedAt: new Date('2026-11-27T02:00:00Z'),
    ageMs: 10_800_000,
    isFromBroker: true,
    isKeyParked: false,
    replayAt: null,
    payload: Buffer.from('{"id":1}'),
    contentType: 'application/json',
    headers: { traceparent: '00-1' },
    partition: null,
    seq: null,
    firstErrorCode: 'E_FIRST',
    firstError: 'the carrier is slow',
    firstFailedAt: new Date('2026-11-27T01:00:00Z'),
    ...changes,
  }
}

describe('the list of dead letters', () => {
  it('is a table that fits the page, however long what stands in it', () => {
    const long = letter({ key: 'k'.repeat(500), channel: 'c'.repeat(200), error: 'e'.repeat(500) })
    for (const width of [72, 80, 200]) {
      const lines = deadLettersText([letter(), long], { ...page, width }, now).split('\n')
      expect(lines).toHaveLength(3)
      for (const line of lines) expect(line.length).toBeLessThanOrEqual(width)
    }
    expect(deadLettersText([letter()], { ...page, width: 200 }, now)).toContain(
      '17  1 h  orders.placed  ann  shipping  attempts      5  E_LAST: the carrier is closed',
    )
  })

  it('tells the relay from consumers, a parked key, and what was asked for', () => {
    const text = deadLettersText(
      [letter({ consumer: '', isKeyParked: true }), letter({ replayAt: now, key: null })],
      { ...page, width: 200 },
      now,
    )
    expect(text).toContain('(relay)')
    expect(text).toContain('attempts, parked')
    expect(text).toContain('replay asked')
  })
})

describe('a dead letter in full', () => {
  it('tells where it came from, both errors, headers, payload and what to do', () => {
    expect(deadLetterText(letter(), page, now, 1000)).toBe(
      [
        'Dead letter 17  attempts-exhausted',
        '  message      01990a5c-6b1e-7c44-9d0e-2f1a8f3f7b10',
        '  channel      orders.placed',
        '  key          ann',
        '  from         consumer "shipping"',
        '  published    2026-11-27 00:00:00 UTC (3 h ago)',
        '  given up     2026-11-27 02:00:00 UTC (1 h ago), 5 attempts',
        '  first error  E_FIRST',
        '               the carrier is slow',
        '               2026-11-27 01:00:00 UTC (2 h ago)',
        '  last error   E_LAST',
        '               the carrier is closed',
        '               2026-11-27 02:00:00 UTC (1 h ago)',
        '  headers      traceparent: 00-1',
        '  payload      application/json, 8 bytes',
        '    {',
        '      "id": 1',
        '    }',
        'What to do',
        '  · Mend what the last error names, then `waybill dead replay --id 17`.',
        '  · To give it up for good: `waybill dead purge --id 17`.',
      ].join('\n'),
    )
  })

  it('shows one error where there was one, and none of the payload beyond what was asked for', () => {
    const { errorCode, error, diedAt } = letter()
    const text = deadLetterText(
      letter({
        firstErrorCode: errorCode,
        firstError: error,
        firstFailedAt: diedAt,
        payload: Buffer.alloc(50, 'x'),
      }),
      page,
      now,
      8,
    )
    expect(text).not.toContain('first error')
    expect(text).toContain('    xxxxxxxx\n    … 42 bytes more: --full shows them')
  })

  it('says where it stood in the outbox', () => {
    const place = { partition: 3, seq: 12n, attempts: 1 }
    expect(deadLetterText(letter({ consumer: '', ...place }), page, now, 9)).toContain(
      'partition 3, number 12',
    )
    expect(deadLetterText(letter(place), page, now, 9)).toContain('of the same database')
  })

  it('has a next step for each reason and state', () => {
    for (const reason of deadReasons)
      expect(nextSteps(letter({ reason }))[0]).toContain('waybill dead replay')
    expect(nextSteps(letter({ isKeyParked: true })).join()).toContain('keys skip')
    expect(nextSteps(letter({ replayAt: now })).join()).toContain('asked for')
  })
})

it('what was left says why, and what to do', () => {
  expect(leftText('key-parked', 2)).toBe(
    'Left: 2 of a parked key. Name the whole key with --channel and --key, or see `waybill keys skip`.',
  )
})

describe('the list of held keys', () => {
  const held = (changes: Partial<HeldKey>): HeldKey => ({
    consumer: '',
    partition: 1,
    seq: 5n,
    channel: 'orders.placed',
    key: 'ann',
    id: '01990a5c-6b1e-7c44-9d0e-2f1a8f3f7b10',
    state: 'retrying',
    attempts: 2,
    retryAt: new Date('2026-11-27T03:05:00Z'),
    errorCode: 'E',
    error: 'no',
    firstFailedAt: new Date('2026-11-27T02:58:00Z'),
    parkedMessages: 0,
    ...changes,
  })

  it('tells what each waits for', () => {
    const keys = [
      held({}),
      held({ retryAt: now, key: null, consumer: 'shipping' }),
      held({ state: 'blocked', retryAt: null }),
      held({ state: 'parked', retryAt: null, parkedMessages: 10_000 }),
    ]
    const lines = heldKeysText(keys, { ...page, width: 200 }, now).split('\n')
    expect(lines[1]).toMatch(/retrying .*2 min .*\(relay\).*in 5 min/u)
    expect(lines[2]).toMatch(/message 01990a5c.*shipping.*now/u)
    expect(lines[3]).toContain('waits for you')
    expect(lines[4]).toContain('10,000 or more in dead')
    expect(keySteps(keys).join('\n')).toContain('keys unblock')
    expect(keySteps(keys.slice(3)).join('\n')).not.toContain('keys unblock')
  })
})
