import { describe, expect, it } from 'vitest'
import { idempotencyKey, isUuid } from './ids.ts'

const id = '01890000-0000-7000-8000-000000000001'

describe('an idempotency key', () => {
  it('is the same in every process and every version of Waybill', () => {
    // Others have stored it: a change here would make them do it all again.
    expect(idempotencyKey('shipping', id)).toBe('5c802a90-a900-5290-a18c-f1b900dc86a5')
  })

  it('is another one for each consumer and each message, also where the two texts run together', () => {
    const keys = [
      idempotencyKey('shipping', id),
      idempotencyKey('billing', id),
      idempotencyKey('shipping', id.replace('1', '2')),
      idempotencyKey('a', `b${id}`),
      idempotencyKey('ab', id),
    ]
    expect(new Set(keys).size).toBe(keys.length)
    expect(keys.every(isUuid)).toBe(true)
  })
})
