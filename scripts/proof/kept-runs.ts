import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { ProofRun } from './runs.ts'

/** The last run over each transport with each seed, as files of a folder: one can be played again without the others. */
export class KeptRuns {
  readonly #folder: string

  constructor(folder: string) {
    this.#folder = folder
    mkdirSync(folder, { recursive: true })
  }

  keep(run: ProofRun): void {
    writeFileSync(this.#file(run), JSON.stringify(run))
  }

  /** Those of them that have been played, in the order asked for. */
  of(asked: readonly Pick<ProofRun, 'transport' | 'seed'>[]): ProofRun[] {
    return asked.flatMap((one) => {
      try {
        return [JSON.parse(readFileSync(this.#file(one), 'utf8')) as ProofRun]
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
        throw error
      }
    })
  }

  #file({ transport, seed }: Pick<ProofRun, 'transport' | 'seed'>): string {
    return join(this.#folder, `${transport}-${seed}.json`)
  }
}
