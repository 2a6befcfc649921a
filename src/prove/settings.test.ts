import { expect, it, test } from 'vitest'
import { secretsOf, sessionsOf, withoutName } from './settings.ts'

it.each([
  ['postgres://me:long%20enough@host/shop', ['long%20enough', 'long enough']],
  ['postgres://me:plainlong@host/shop', ['plainlong']],
  ['postgres://me:half%off%20it@host/shop', ['half%off%20it']],
  ['postgres://me:app@host/shop', []],
  ['postgres://me@host/shop', []],
])('of %s no log may hold the password beside the canary, unless it is a word', (databaseUrl, passwords) => {
  expect(secretsOf({ canary: 'canary-1', databaseUrl })).toEqual(['canary-1', ...passwords])
})

test('a URL does not name the sessions of a run, and says all else', () => {
  const url = 'postgres://me:s%40cret@host:6000/shop?sslmode=disable'
  expect(withoutName(`${url}&application_name=shop`)).toBe(url)
  expect(withoutName(url)).toBe(url)
})

test('the sessions of a run are not taken for those of another whose id begins the same', () => {
  const name = sessionsOf({ id: 'a1' }, 'writer')
  expect(name.startsWith(sessionsOf({ id: 'a1' }))).toBe(true)
  expect(sessionsOf({ id: 'a12' }, 'writer').startsWith(sessionsOf({ id: 'a1' }))).toBe(false)
})
