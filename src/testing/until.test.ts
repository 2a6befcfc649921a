import { expect, test } from 'vitest'
import { until } from './until.ts'

test('it looks until there is an answer, and gives that', async () => {
  let looks = 0
  const answer = await until('three looks', () => (++looks === 3 ? 'third' : undefined), { everyMs: 0 })
  expect(answer).toBe('third')
})

test('zero and the empty text are answers', async () => {
  expect(await until('a number', () => 0)).toBe(0)
  expect(await until('a text', () => '')).toBe('')
})

test('it says what did not come about, and within which time', async () => {
  const never = until('a miracle', () => false, { timeoutMs: 0, everyMs: 0 })
  await expect(never).rejects.toMatchObject({
    code: 'WB_TIMED_OUT',
    message: expect.stringContaining('a miracle') as string,
  })
})

test('an abort ends the wait', async () => {
  const abort = new AbortController()
  const waiting = until('a miracle', () => false, { everyMs: 60_000, signal: abort.signal })
  abort.abort()
  await expect(waiting).rejects.toMatchObject({ code: 'WB_ABORTED' })
})

test('what the look throws goes through', async () => {
  const broken = until('a look', () => {
    throw new RangeError('broken')
  })
  await expect(broken).rejects.toThrow(RangeError)
})
