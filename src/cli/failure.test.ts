import { describe, expect, it } from 'vitest'
import { WaybillError } from '../kernel/errors.ts'
import { tellFailure } from './failure.ts'
import { Output } from './output.ts'

function tell(error: unknown, isJson = false): { code: number; out: string; err: string } {
  let [out, err] = ['', '']
  const output = new Output(
    isJson,
    { write: (text) => (out += text) },
    { write: (text) => (err += text) },
    {},
  )
  return { code: tellFailure(output, error), out, err }
}

describe('a failure', () => {
  it('is told on stderr with its code and what caused it, and ends with 1', () => {
    const cause = new Error('connect ECONNREFUSED', { cause: new Error('deeper') })
    const { code, out, err } = tell(new WaybillError('WB_STORE_UNREACHABLE', 'Could not connect.', { cause }))
    expect({ code, out }).toEqual({ code: 1, out: '' })
    expect(err).toBe(
      'error Could not connect. (WB_STORE_UNREACHABLE)\n  because: connect ECONNREFUSED\n  because: deeper\n',
    )
  })

  it('that is nobody’s but ours shows where it happened', () => {
    expect(tell(new TypeError('x is not a function')).err).toMatch(
      /^error x is not a function\n +at .*failure\.test/u,
    )
  })

  it('is one line of JSON for programs', () => {
    const { out } = tell(new WaybillError('WB_PEER_MISSING', 'Install it:\nnpm install pg'), true)
    expect(JSON.parse(out)).toEqual({
      error: { code: 'WB_PEER_MISSING', message: 'Install it:\nnpm install pg' },
    })
    expect(out.trimEnd()).not.toContain('\n')
  })

  it('shows no password, and takes what is not even an error', () => {
    expect(tell(new Error('no postgres://me:secret@host/db', { cause: 'x' })).err).not.toContain('secret')
    expect(tell('just a text').err).toBe('error just a text\n')
  })
})
