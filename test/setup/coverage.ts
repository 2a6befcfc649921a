import { afterAll, beforeAll } from 'vitest'
import { removeTornCoverage } from './torn-coverage.ts'

/**
 * Whose children count in each run: of command line and proof little runs in a test's own process. V8 counts at the price of half of all
 * processor time, for a process that counts takes no compiled code from the cache; so the others count in the full run only.
 */
const counted = /[\\/]test[\\/](?:cli|prove|setup)[\\/]/u

const folder = process.env['NODE_V8_COVERAGE']

// Vitest wants to see a pattern here.
// oxlint-disable-next-line no-empty-pattern
beforeAll(({}, suite) => {
  const isCounted = process.env['WAYBILL_TEST_FULL'] !== undefined || counted.test(suite.file.filepath)
  // Children have it from here.
  if (!isCounted) delete process.env['NODE_V8_COVERAGE']
})

// Once for each test file, before vitest takes what its children have left.
afterAll(() => {
  if (folder !== undefined && folder !== '') removeTornCoverage(folder)
})
