import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { type Child, spawnChild } from '../../src/testing.ts'
import type { Found } from './children/mutants.ts'
import { mutants } from './mutants.ts'

// Nothing here waits for anything; a machine that is busy with other tests only takes longer.
const patienceMs = 300_000

let search: Child

beforeAll(() => {
  search = spawnChild({
    script: fileURLToPath(new URL('children/mutants.ts', import.meta.url)),
    // Counting each block of the mind makes every schedule half as long again, or more.
    env: { NODE_V8_COVERAGE: undefined },
    ipc: true,
  })
})

afterAll(async () => {
  await search.kill()
})

it.each(mutants)(
  'finds a mind or a database that $name',
  async ({ name, breaks }) => {
    const found = await search.waitForMessage<Found>((each) => each.name === name, patienceMs)
    expect(found.breaks, found.error ?? 'no schedule told it').not.toBeNull()
    expect(breaks).toContain(found.breaks)
  },
  patienceMs,
)
