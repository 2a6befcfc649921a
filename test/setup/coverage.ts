import { afterAll } from 'vitest'
import { removeTornCoverage } from './torn-coverage.ts'

// Once for each test file, before vitest takes what its children have left.
afterAll(() => {
  const folder = process.env['NODE_V8_COVERAGE']
  if (folder !== undefined && folder !== '') removeTornCoverage(folder)
})
