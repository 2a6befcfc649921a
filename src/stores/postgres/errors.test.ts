import { expect, it } from 'vitest'
import { storeError } from './errors.ts'

function told(code: string): { readonly message: string; readonly retryable: string } {
  const { message, retryable } = storeError(Object.assign(new Error('of the driver'), { code }), 'do it')
  return { message, retryable }
}

it.each([
  ['40001', 'Roll back and run the transaction again', 'yes'],
  ['42P01', 'waybill migrate', 'no'],
  ['28P01', 'Check user, password and database', 'no'],
  ['57P03', 'Check that it runs', 'yes'],
  ['42501', 'SECURITY.md', 'no'],
  ['26000', 'its session has changed (SQLSTATE 26000). Roll back and run the transaction again', 'yes'],
  ['25006', 'the transaction or the server is read-only', 'yes'],
  ['57014', 'statementTimeoutMs', 'yes'],
  ['22012', 'PostgreSQL refused it (SQLSTATE 22012). Read the cause: a full disk', 'unknown'],
])('says of SQLSTATE %s what to do next, and whether again', (code, text, retryable) => {
  expect(told(code)).toEqual({ message: expect.stringContaining(text), retryable })
  expect(told(code).message).toMatch(/^Could not do it: .*\.$/u)
})
