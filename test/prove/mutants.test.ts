import { rmSync } from 'node:fs'
import { expect, it, onTestFinished } from 'vitest'
import type { Guarantee } from '../../src/index.ts'
import type { FaultClass } from '../../src/prove/catalog.ts'
import { kafkaOfTheirs } from '../../src/prove/kafka-place.ts'
import { runProof } from '../../src/prove/run.ts'
import { type AnomalyKind, readHistory } from '../../src/testing.ts'
import { describeInFullWithKafka } from '../setup/full.ts'
import { kafkaBrokers, postgresDatabase } from '../setup/servers.ts'

interface Mutant {
  readonly name: string
  /** Modules that every process loads first. */
  readonly preload: readonly string[]
  readonly guarantee: Guarantee
  readonly faults: FaultClass
  readonly seconds: number
  readonly finds: AnomalyKind
}

const mutants: readonly Mutant[] = [
  {
    name: 'at-most-once whose client sends again',
    preload: ['dispatch-twice'],
    guarantee: 'at-most-once',
    faults: 'sessions',
    seconds: 15,
    finds: 'redelivered',
  },
  {
    name: 'at-least-once that takes a message as sent before it is',
    preload: ['confirm-unsent'],
    guarantee: 'at-least-once',
    faults: 'kill',
    seconds: 40,
    finds: 'lost',
  },
  {
    name: 'exactly-once whose inbox knows no message again',
    preload: ['forgetful-inbox', 'publish-twice'],
    guarantee: 'exactly-once',
    faults: 'sessions',
    seconds: 15,
    finds: 'duplicated',
  },
]

describeInFullWithKafka('waybill prove finds a mutant, and for the reason it was made for', () => {
  it.each(mutants.map((mutant) => [mutant.name, mutant] as const))(
    '%s',
    { timeout: 180_000 },
    async (_name, mutant) => {
      const { url } = await postgresDatabase()
      const preload = mutant.preload.map(
        (name) => `--import ${new URL(`children/${name}.ts`, import.meta.url).href}`,
      )
      const {
        verdict,
        rows: found,
        history,
        said,
      } = await runProof({
        databaseUrl: url,
        server: null,
        disk: { missing: 'the server is shared' },
        kafka: { ...kafkaOfTheirs(await kafkaBrokers()), sessionTimeoutMs: 1500 },
        guarantees: [mutant.guarantee],
        faults: [mutant.faults],
        seconds: mutant.seconds,
        seed: 7,
        signal: AbortSignal.timeout(170_000),
        env: { NODE_OPTIONS: [process.env['NODE_OPTIONS'] ?? '', ...preload].join(' ') },
        onView: () => {},
        onLeftBehind: (what, error) => {
          throw new Error(`left behind: ${what}`, { cause: error })
        },
      })
      onTestFinished(() => {
        for (const path of [history, said]) if (path !== null) rmSync(path)
      })
      expect(verdict).toBe('invalid')
      const wrong = found.filter((row) => row.verdict === 'invalid')
      expect(new Set(wrong.flatMap(({ anomalies }) => anomalies.map(({ kind }) => kind)))).toContain(
        mutant.finds,
      )
      // The message it is shown by is in the history that is kept, with all that is told of it.
      const { anomalies, counterExample } = wrong[0]!
      expect(counterExample).toMatchObject(anomalies[0]!)
      expect(counterExample!.events.length).toBeGreaterThan(1)
      expect(readHistory([history!])).toEqual(expect.arrayContaining([...counterExample!.events]))
    },
  )
})
