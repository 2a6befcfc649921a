import { appendFileSync, mkdtempSync, readFileSync, rmSync, truncateSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { mergeHistories, parseHistory, readHistory, recordHistory } from './history.ts'

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), 'waybill-history-'))
  onTestFinished(() => {
    rmSync(path, { recursive: true })
  })
  return path
}

test('what was noted is in the file before the call returns, without a close', () => {
  const file = join(folder(), 'a.ndjson')
  using recorder = recordHistory(file, 'shop')
  recorder.note({ type: 'invoke', f: 'write', key: 'k', seq: 1, id: 'm1', hash: 'h' })
  recorder.note({ type: 'info', f: 'fault' })
  const [first, second] = readHistory([file])
  expect(first).toMatchObject({
    process: 'shop',
    type: 'invoke',
    f: 'write',
    key: 'k',
    seq: 1,
    id: 'm1',
    hash: 'h',
  })
  expect(second).toMatchObject({ process: 'shop', type: 'info', f: 'fault', key: null, seq: null, id: null })
  expect(second!.t).toBeGreaterThanOrEqual(first!.t)
})

test('a recorder that is closed twice closes once, and a new one appends', () => {
  const file = join(folder(), 'a.ndjson')
  for (const id of ['m1', 'm2']) {
    const recorder = recordHistory(file)
    recorder.note({ type: 'ok', f: 'effect', id })
    recorder.close()
    recorder.close()
  }
  expect(readHistory([file]).map(({ id }) => id)).toEqual(['m1', 'm2'])
})

describe('a new life in the file of one that was killed', () => {
  /** The file of two lives; `end` makes the end that the first one left. */
  function afterDeath(end: (file: string) => void): string {
    const file = join(folder(), 'a.ndjson')
    using first = recordHistory(file, 'a')
    first.note({ type: 'ok', f: 'wire', id: 'm1' })
    first.note({ type: 'ok', f: 'wire', id: 'm2' })
    end(file)
    using second = recordHistory(file, 'a')
    second.note({ type: 'ok', f: 'wire', id: 'm3' })
    return file
  }
  const idsIn = (file: string): readonly (string | null)[] => readHistory([file]).map(({ id }) => id)

  test.each([
    ['short', ''],
    ['long', 'h'.repeat(10_000)],
  ])('leaves out the %s line that was torn', (_what, hash) => {
    const torn = `{"process":"a","type":"ok","f":"wire","hash":"${hash}`
    expect(idsIn(afterDeath((file) => appendFileSync(file, torn)))).toEqual(['m1', 'm2', 'm3'])
  })

  test('leaves out the only line where that was torn', () => {
    const file = join(folder(), 'a.ndjson')
    appendFileSync(file, '{"process":"a","ty')
    using second = recordHistory(file, 'a')
    second.note({ type: 'ok', f: 'wire', id: 'm3' })
    expect(idsIn(file)).toEqual(['m3'])
  })

  test('keeps a line that lacked only its line feed', () => {
    const file = afterDeath((path) => truncateSync(path, readFileSync(path).length - 1))
    expect(idsIn(file)).toEqual(['m1', 'm2', 'm3'])
  })

  test('excuses no line that is broken elsewhere', () => {
    const file = afterDeath((path) => appendFileSync(path, '{"process"\n{"process":"a","ty'))
    expect(() => readHistory([file])).toThrow(`${file}:3`)
  })
})

test('the files of several processes merge by time, and a torn last line is left out', () => {
  const [a, b] = ['a.ndjson', 'b.ndjson'].map((name) => join(folder(), name)) as [string, string]
  const first = recordHistory(a, 'a')
  const second = recordHistory(b, 'b')
  first.note({ type: 'ok', f: 'wire', id: 'm1' })
  second.note({ type: 'ok', f: 'wire', id: 'm2' })
  first.note({ type: 'ok', f: 'wire', id: 'm3' })
  appendFileSync(a, '{"process":"a","type":"ok","f":"wi')
  expect(readHistory([b, a]).map(({ id }) => id)).toEqual(['m1', 'm2', 'm3'])
  first.close()
  second.close()
})

test('a last line that lacks only its line feed counts', () => {
  const line = '{"process":"a","type":"ok","f":"wire","key":null,"seq":null,"id":"m1","t":1}'
  expect(parseHistory(line)).toHaveLength(1)
  expect(parseHistory('')).toEqual([])
})

test('a broken line in the middle is an error that names its place', () => {
  expect(() => parseHistory('{"process"\n{}\n', 'a.ndjson')).toThrow('a.ndjson:1')
})

test('events of one moment keep the order of their file', () => {
  const event = { process: 'a', type: 'ok', f: 'effect', key: null, seq: null, t: 5 } as const
  const merged = mergeHistories([
    [
      { ...event, id: 'm1' },
      { ...event, id: 'm2' },
    ],
    [{ ...event, id: 'm0', t: 1 }],
  ])
  expect(merged.map(({ id }) => id)).toEqual(['m0', 'm1', 'm2'])
})
