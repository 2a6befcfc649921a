import { describe, expect, it } from 'vitest'
import { uuidArray } from './uuid-array.ts'

const id = '01234567-89ab-cdef-0123-456789abcdef'

describe('uuidArray', () => {
  it('is the binary format of a uuid[]', () => {
    const head = ['00000001', '00000000', '00000b86', '00000002', '00000001'].join('')
    const hex = id.replaceAll('-', '')
    expect(uuidArray([id, id.toUpperCase()]).toString('hex')).toBe(`${head}00000010${hex}00000010${hex}`)
  })

  it.each([id.slice(1), `${id}0`, `g${id.slice(1)}`, `€${id.slice(1)}`, ''])('refuses %j', (text) => {
    expect(() => uuidArray([id, text])).toThrow('A message id is not a UUID.')
  })
})
