import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { waiting } from '../../src/prove/waiting.ts'
import { mutants } from '../model/mutants.ts'
import { listedMutants, type Sighting } from './listed.ts'

const withoutAdapter = listedMutants.filter((mutant) => 'waitsFor' in mutant)
const found = listedMutants.filter((mutant) => 'found' in mutant)

describe('the mutants that a suite like this has to find', () => {
  it('are sixteen, of which three wait for adapters', () => {
    expect(listedMutants).toHaveLength(16)
    expect(new Set(listedMutants.map(({ name }) => name)).size).toBe(16)
    expect(withoutAdapter.map(({ fault }) => fault)).toEqual(['F8', 'T7', 'F15'])
    for (const { fault, waitsFor } of withoutAdapter)
      expect(waiting).toContainEqual(
        expect.objectContaining({ for: waitsFor, rows: expect.arrayContaining([fault]) }),
      )
  })

  it.each(found.map(({ name, found: sightings }) => [name, sightings] as const))(
    '%s: is found in every run, and each place it is said to be found in turns it on',
    (_name, sightings) => {
      expect(sightings.some(({ isFullOnly }) => isFullOnly !== true)).toBe(true)
      for (const { file, mutant, finds } of sightings) {
        if (file === 'test/model/mutants.ts') {
          const named = mutants.filter(({ name }) => name === mutant)
          expect(named, `"${mutant}" of ${file}`).toEqual([
            expect.objectContaining({ breaks: expect.arrayContaining([finds]) }),
          ])
          continue
        }
        const text = readFileSync(new URL(`../../${file}`, import.meta.url), 'utf8')
        expect(text.split(quoted(mutant)), `"${mutant}" of ${file}`).toHaveLength(2)
        expect(text, `what finds it in ${file}`).toContain(finds)
      }
    },
  )
})

function quoted(name: Sighting['mutant']): string {
  return `'${name}'`
}
