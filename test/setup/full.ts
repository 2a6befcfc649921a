import { describe } from 'vitest'
import { describeWithKafka } from './servers.ts'

/** `npm run test:full`: everything, in its own time. `npm test` has twelve minutes on two cores. */
export const isFull: boolean = process.env['WAYBILL_TEST_FULL'] !== undefined

/** Where Kafka can run, and only in the full run: what takes minutes. */
export function describeInFullWithKafka(name: string, tests: () => void): void {
  if (isFull) describeWithKafka(name, tests)
  else describe.skip(`${name} (npm run test:full)`, tests)
}
