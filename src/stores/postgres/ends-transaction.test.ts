import { expect, it } from 'vitest'
import { endsTransaction } from './ends-transaction.ts'

it.each([
  'commit',
  ' COMMIT AND CHAIN',
  'End;',
  'abort',
  'rollback',
  'ROLLBACK; BEGIN',
  'rollback work',
  ';; -- why\n/* a * b */ rollback',
  "prepare transaction 'x'",
])('%j ends a transaction', (text) => {
  expect(endsTransaction(text)).toBe(true)
})

it.each([
  'rollback to a',
  'ROLLBACK WORK TO SAVEPOINT a',
  'rollback transaction  to a',
  'savepoint a',
  'release a',
  'begin',
  'select 1 -- commit',
  '-- commit',
  'ending',
  'prepare commit as select 1',
  '',
  undefined,
])('%j does not', (text) => {
  expect(endsTransaction(text)).toBe(false)
})

it('takes no longer than the text for one that is all comment', () => {
  expect(endsTransaction('/* * '.repeat(100_000))).toBe(false)
  expect(endsTransaction(`${' ;'.repeat(100_000)}x`)).toBe(false)
})
