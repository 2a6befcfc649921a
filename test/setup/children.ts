import { afterAll, inject } from 'vitest'
import { removeTornCoverage } from './torn-coverage.ts'

/**
 * What children run counts for coverage in the full run only. Vitest keeps the compile cache from a process that counts, which has lost the
 * positions that are counted by, and without it each start strips the types from all of its sources again: four times as long.
 */
if (process.env['WAYBILL_TEST_FULL'] === undefined)
  process.env['NODE_COMPILE_CACHE'] = inject('waybillCompileCache')

const folder = process.env['NODE_V8_COVERAGE']

// Once for each test file, before vitest takes what its children have left.
afterAll(() => {
  if (folder !== undefined && folder !== '') removeTornCoverage(folder)
})
