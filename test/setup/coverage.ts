import { afterAll, beforeAll, inject } from 'vitest'
import { removeTornCoverage } from './torn-coverage.ts'

/**
 * Whose children count in each run: of command line and proof little runs in a test's own process. The others count in the full run only:
 * Vitest keeps the compile cache from a process that counts, which has lost the positions that are counted by, and without it each start
 * strips the types from all of its sources again. That took four times as long, so the files with the most commands do not count there either.
 */
const counted = /[\\/]test[\\/](?:prove|setup|cli(?![\\/](?:check-idempotency|operators|prove)\.))[\\/]/u

const folder = process.env['NODE_V8_COVERAGE']

// Vitest wants to see a pattern here.
// oxlint-disable-next-line no-empty-pattern
beforeAll(({}, suite) => {
  const isCounted = process.env['WAYBILL_TEST_FULL'] !== undefined || counted.test(suite.file.filepath)
  if (isCounted) return
  // Children have their environment from here.
  delete process.env['NODE_V8_COVERAGE']
  delete process.env['NODE_DISABLE_COMPILE_CACHE']
  process.env['NODE_COMPILE_CACHE'] = inject('waybillCompileCache')
})

// Once for each test file, before vitest takes what its children have left.
afterAll(() => {
  if (folder !== undefined && folder !== '') removeTornCoverage(folder)
})
