import { drainByRelay } from './drain.ts'
import type { Runs } from './environment.ts'

/** The same drain of the same rows; only the channel's order and the number of keys differ. */
export const orderRuns: Runs = {
  unordered: (environment) => drainByRelay(environment, { keys: 10_000, ordered: false }),
  '10k keys': (environment) => drainByRelay(environment, { keys: 10_000 }),
  '20 keys': (environment) => drainByRelay(environment, { keys: 20 }),
  'one hot key': (environment) => drainByRelay(environment, { keys: 1 }),
}
