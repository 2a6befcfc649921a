import { describe, expect, it } from 'vitest'
import { CommitOutcomeUnknownError, describeError, isWaybillError, WaybillError } from './errors.ts'

describe('what is told of an error', () => {
  it.each([
    ['postgres://u:s3cret@h/d is wrong', 'postgres://***@h/d is wrong'],
    ['postgres://u:s3@cret@h/d', 'postgres://***@h/d'],
    ['postgres://u:a/b@h/d', 'postgres://***@h/d'],
    ['postgres://h/d?user=u&password=s3cret&x=1', 'postgres://h/d?user=u&password=***&x=1'],
    ['host=h password=s3cret user=u', 'host=h password=*** user=u'],
    ['a\0b', 'a\uFFFDb'],
  ])('hides what is secret or cannot be stored: %s', (message, told) => {
    expect(describeError(new Error(message)).message).toBe(told)
  })

  it('is short, and names the code', () => {
    const long = describeError(Object.assign(new Error('x'.repeat(1000)), { code: '40001' }), 20)
    expect(long).toEqual({ code: '40001', message: `${'x'.repeat(19)}…` })
    const strange = Object.assign(new Error('no'), { code: `a\0${'x'.repeat(200)}` })
    expect(describeError(strange).code).toBe(`a\uFFFD${'x'.repeat(97)}…`)
    expect(describeError('no error at all')).toEqual({ code: 'Error', message: 'no error at all' })
    expect(describeError(new AggregateError([new Error('inner')])).message).toBe('Error: inner')
  })

  it('is told from other errors by its brand', () => {
    expect(isWaybillError(new WaybillError('WB_ABORTED', 'stopping'))).toBe(true)
    expect(isWaybillError(new CommitOutcomeUnknownError('7', new Error('reset')))).toBe(true)
    expect(isWaybillError(new Error('x'))).toBe(false)
    expect(isWaybillError(null)).toBe(false)
  })
})
