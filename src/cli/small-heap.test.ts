import { execFileSync } from 'node:child_process'
import { expect, test } from 'vitest'

/** The size of the young generation, in bytes, of a process that keeps much of what it makes. */
function youngAfterWork(first: string, flags: readonly string[] = []): number {
  const url = new URL('small-heap.ts', import.meta.url).href
  const script = `
    import { getHeapSpaceStatistics } from 'node:v8'
    import { keepHeapSmall } from ${JSON.stringify(url)}
    ${first}
    const kept = []
    for (let i = 0; i < 1_000_000; i++) {
      kept.push({ i, text: [i] })
      if (kept.length > 100_000) kept.length = 0
    }
    console.log(getHeapSpaceStatistics().find(({ space_name }) => space_name === 'new_space').space_size)`
  const args = [...flags, '--input-type=module', '--eval', script]
  const env = { ...process.env, NODE_OPTIONS: '' }
  return Number(execFileSync(process.execPath, args, { encoding: 'utf8', env }))
}

const megabyte = 1_048_576

// V8 takes 32 to 64 MB here by itself, and 2 to 7 with the flags, as its helper threads come to it: the bound is between the two.
test('the young generation of a process that runs already hardly grows any more', () => {
  expect(youngAfterWork('')).toBeGreaterThan(16 * megabyte)
  expect(youngAfterWork('keepHeapSmall()')).toBeLessThan(16 * megabyte)
})

test('whoever sets the size of the heap himself keeps it', () => {
  expect(youngAfterWork('keepHeapSmall()', ['--max-semi-space-size=16'])).toBeGreaterThan(8 * megabyte)
})
