import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { RowBytes } from './row-bytes.ts'
import { RowTap, tappedRows } from './row-tap.ts'

/** A message of the protocol. */
function messageOf(code: string, body: Buffer): Buffer {
  const head = Buffer.alloc(5)
  head.write(code)
  head.writeUInt32BE(body.length + 4, 1)
  return Buffer.concat([head, body])
}

function int(bytes: 2 | 4, value: number): Buffer {
  const all = Buffer.alloc(bytes)
  all.writeIntBE(value, 0, bytes)
  return all
}

function description(format: 0 | 1): Buffer {
  const field = [
    Buffer.from('payload\0'),
    int(4, 0),
    int(2, 0),
    int(4, 17),
    int(2, -1),
    int(4, -1),
    int(2, format),
  ]
  return messageOf('T', Buffer.concat([int(2, 1), ...field]))
}

function dataRow(value: Uint8Array): Buffer {
  return messageOf('D', Buffer.concat([int(2, 1), int(4, value.length), value]))
}

const complete = messageOf('C', Buffer.from('SELECT\0'))
const ready = messageOf('Z', Buffer.from('I'))
const failure = messageOf('E', Buffer.from('Mno\0\0'))
const bound = messageOf('2', Buffer.alloc(0))
const standIn = messageOf('D', Buffer.concat([int(2, 1), int(4, 0)]))

/** What the server answers to a query. */
interface Answer {
  readonly isBinary: boolean
  readonly values: readonly Uint8Array[]
  readonly isFailed: boolean
}

function wireOf({ isBinary, values, isFailed }: Answer): Buffer {
  const rows = values.map(dataRow)
  return Buffer.concat([bound, description(isBinary ? 1 : 0), ...rows, isFailed ? failure : complete, ready])
}

/** What the driver is to see of it. */
function seenOf({ isBinary, values, isFailed }: Answer): Buffer {
  const rows = isBinary ? (isFailed ? [] : [standIn]) : values.map(dataRow)
  return Buffer.concat([bound, description(isBinary ? 1 : 0), ...rows, isFailed ? failure : complete, ready])
}

/** Feeds a tap, and does as the driver does: asks for the rows while it is given the one that stands for them. */
function play(parts: readonly Buffer[]): {
  readonly seen: Buffer
  readonly taken: readonly (readonly RowBytes[])[]
} {
  const seen: Buffer[] = []
  const taken: (readonly RowBytes[])[] = []
  const tap = new RowTap((bytes) => {
    seen.push(Buffer.from(bytes))
    if (bytes.equals(standIn)) taken.push(tappedRows.getTypeParser()())
  })
  for (const part of parts) tap.arrive(part)
  return { seen: Buffer.concat(seen), taken }
}

/** Cut at these places. */
function cut(bytes: Buffer, places: readonly number[]): readonly Buffer[] {
  const at = [...new Set(places.map((place) => place % bytes.length)), 0, bytes.length].sort((a, b) => a - b)
  return at.slice(1).map((to, i) => bytes.subarray(at[i], to))
}

const answer: fc.Arbitrary<Answer> = fc.record({
  isBinary: fc.boolean(),
  // None is empty, so that no row of text looks like the one that stands in.
  values: fc.array(fc.uint8Array({ minLength: 1, maxLength: 40 }), { maxLength: 5 }),
  isFailed: fc.boolean(),
})

describe('a tap of rows', () => {
  it('takes the rows of binary answers and lets all else through, however the bytes arrive', () => {
    fc.assert(
      fc.property(
        fc.array(answer, { minLength: 1, maxLength: 5 }),
        fc.array(fc.nat(2000)),
        (answers, places) => {
          const { seen, taken } = play(cut(Buffer.concat(answers.map(wireOf)), places))
          expect(seen.toString('hex')).toBe(Buffer.concat(answers.map(seenOf)).toString('hex'))
          const expected = answers.filter(({ isBinary, isFailed }) => isBinary && !isFailed)
          expect(taken.map((rows) => rows.map((row) => [...row.payload()!]))).toEqual(
            expected.map(({ values }) => values.map((value) => [...value])),
          )
        },
      ),
    )
  })

  it('has no rows left over for a query whose own were not asked for', () => {
    const { taken } = play([wireOf({ isBinary: true, values: [Buffer.of(1)], isFailed: false })])
    expect(taken[0]).toHaveLength(1)
    expect(tappedRows.getTypeParser()()).toEqual([])
  })

  it('copies nothing of a row that arrived whole', () => {
    const wire = wireOf({ isBinary: true, values: [Buffer.from('abc')], isFailed: false })
    const { taken } = play([wire])
    expect(taken[0]![0]!.payload()!.buffer).toBe(wire.buffer)
  })
})
