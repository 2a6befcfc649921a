import { expect, it } from 'vitest'
import { checkOptions } from './options.ts'

const pool = { connect: async () => {} }

it.each([
  ['no place', {}, 'Is an environment variable not set?'],
  ['a variable that is not set', { connectionString: undefined }, 'Is an environment variable not set?'],
  ['a variable that is empty', { connectionString: '' }, 'Is an environment variable not set?'],
  ['two places', { connectionString: 'postgres://me:secret@host/shop', pool }, 'not both'],
  ['a misspelt name', { conectionString: 'postgres://host/shop' }, 'Did you mean "connectionString"?'],
  ['a pool that is none', { pool: {} }, 'not a pg pool'],
])('refuses %s, and says what it takes', (_what, options, sentence) => {
  const refuse = (): void => {
    checkOptions(options as never)
  }
  expect(refuse).toThrow(
    expect.objectContaining({ code: 'WB_INVALID_OPTION', message: expect.stringContaining(sentence) }),
  )
  expect(refuse).not.toThrow('secret')
})
