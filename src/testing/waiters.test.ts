import { expect, test } from 'vitest'
import { Waiters } from './waiters.ts'

test('what came before the question is found, and what comes after it too', async () => {
  const words = new Waiters<string>()
  words.add('early')
  const late = words.first((word) => word === 'late')
  expect(await words.first((word) => word.startsWith('e'))).toBe('early')
  words.add('other')
  words.add('late')
  expect(await late).toBe('late')
})

test('at the end, who waits and who asks for what did not come is told why', async () => {
  const words = new Waiters<string>()
  words.add('said')
  const waiting = words.first((word) => word === 'never')
  words.close(new Error('it ended'))
  await expect(waiting).rejects.toThrow('it ended')
  await expect(words.first((word) => word === 'never')).rejects.toThrow('it ended')
  expect(await words.first((word) => word === 'said')).toBe('said')
})
