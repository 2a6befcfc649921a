import { describe, expect, it } from 'vitest'
import { bigintArray, intArray, placeArray, uuidArray } from './binary-arrays.ts'

const id = '01234567-89ab-cdef-0123-456789abcdef'

describe('uuidArray', () => {
  it('is the binary format of a uuid[]', () => {
    const head = ['00000001', '00000000', '00000b86', '00000002', '00000001'].join('')
    const hex = id.replaceAll('-', '')
    expect(uuidArray([id, id.toUpperCase()], (text) => text).toString('hex')).toBe(
      `${head}00000010${hex}00000010${hex}`,
    )
  })

  it.each([id.slice(1), `${id}0`, `g${id.slice(1)}`, `€${id.slice(1)}`, ''])('refuses %j', (text) => {
    expect(() => uuidArray([id, text], (each) => each)).toThrow('A message id is not a UUID.')
  })
})

it.each([
  ['int', intArray([1, -2], (each) => each), '00000017', ['00000004', '00000001', '00000004', 'fffffffe']],
  [
    'bigint',
    bigintArray([-1n, 2n], (each) => each),
    '00000014',
    ['00000008', 'f'.repeat(16), '00000008', '0000000000000002'],
  ],
  [
    'place',
    placeArray([10 * 65_536 + 3, 1], (each) => each),
    '0000001b',
    ['00000006', '0000000a0003', '00000006', '000000000001'],
  ],
] as const)('a %s array is in the binary format too', (_name, array, oid, elements) => {
  const head = ['00000001', '00000000', oid, '00000002', '00000001']
  expect(array.toString('hex')).toBe([...head, ...elements].join(''))
})
