import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'

/**
 * A child that is killed while it writes its coverage at its end leaves half a file, at which the coverage of the whole run
 * stumbles. Removes what is no JSON; a process that was killed has no coverage to lose.
 */
export function removeTornCoverage(folder: string): void {
  // No child has left anything.
  if (!existsSync(folder)) return
  for (const name of readdirSync(folder).filter((each) => each.endsWith('.json'))) {
    const file = join(folder, name)
    try {
      JSON.parse(readFileSync(file, 'utf8'))
    } catch {
      rmSync(file, { force: true })
    }
  }
}
