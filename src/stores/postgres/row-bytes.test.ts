import { expect, it } from 'vitest'
import { RowBytes } from './row-bytes.ts'

/** A row as it arrives, of columns in hexadecimal digits; `null` is NULL. */
function rowOf(...columns: readonly (string | null)[]): RowBytes {
  const parts = columns.map((column) => {
    const bytes = Buffer.from(column ?? '', 'hex')
    const length = Buffer.alloc(4)
    length.writeInt32BE(column === null ? -1 : bytes.length)
    return Buffer.concat([length, bytes])
  })
  return new RowBytes(Buffer.concat(parts), 0)
}

it('reads one column after the other', () => {
  const row = rowOf('fffffffe', '7fffffffffffffff', '01', null, 'c3a9', '', '00ff')
  expect([row.int(), row.bigint(), row.boolean(), row.text(), row.text(), row.text()]).toEqual([
    -2,
    2n ** 63n - 1n,
    true,
    null,
    'é',
    '',
  ])
  expect([...row.payload()!]).toEqual([0, 255])
})

it('takes NULL for what the column means by it', () => {
  const row = rowOf(null, null, null, null)
  expect([row.int(), row.boolean(), row.time(), row.payload()]).toEqual([0, false, null, null])
})

it('makes milliseconds since 1970 of microseconds since 2000', () => {
  const row = rowOf('0000000000000000', 'ffffffffffffffff', '00022a6d2c2e0a40')
  expect(row.time()).toBe(Date.UTC(2000, 0, 1))
  expect(row.time()).toBe(Date.UTC(2000, 0, 1) - 0.001)
  expect(row.time()).toBeCloseTo(Date.UTC(2000, 0, 1) + 0x00022a6d2c2e0a40 / 1000, 3)
})

it('makes one number of the block and the line of a place', () => {
  expect(rowOf('0000000a0003').place()).toBe(10 * 65_536 + 3)
  expect(rowOf('fffffffeffff').place()).toBe(0xfffffffe * 65_536 + 0xffff)
})
