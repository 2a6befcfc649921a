import type { Coverage } from './coverage.ts'
import { heal } from './heal.ts'
import { judge } from './judge.ts'
import { countOf } from './spies.ts'
import type { Run } from './steps.ts'
import { type Mutant, World } from './world.ts'

/** Plays a schedule, heals the world, judges it. Throws `Broken` where an invariant does not hold. */
export function check(run: Run, coverage: Coverage, mutant: Mutant = {}): void {
  const world = new World(run, coverage, mutant)
  world.play()
  heal(world)
  judge(world)
  countOf(world, coverage)
}
