import { relative } from 'node:path'
import { BaseSequencer, type TestSpecification } from 'vitest/node'
import { root } from '../root.ts'

/**
 * Seconds of the files that take long, by the longest path they start with: about, on two quiet cores. Only their order matters.
 * By itself vitest goes by what it remembers of the run before, and in a fresh clone by size: the crash matrix, which is a small
 * file, then runs last and alone.
 */
const seconds: Readonly<Record<string, number>> = {
  'test/crash/kafka': 100,
  'test/faults/servers': 90,
  'test/crash/local': 60,
  'test/demo/demo': 50,
  'test/cli/operators': 37,
  'test/cli/cli': 32,
  'test/transports/kafka/rebalance': 30,
  'test/demo/interruption': 30,
  'test/relay/': 28,
  'test/cli/': 25,
  'test/transports/kafka/transform-faults': 25,
  'test/transports/kafka/fenced': 22,
  'test/testing/kafka-server': 20,
  'test/app/transform': 20,
  'test/model/': 20,
  'test/faults/': 18,
  'test/stores/postgres/connections': 18,
  'test/stores/postgres/plans': 18,
  'test/crash/': 15,
  'test/transports/kafka/': 12,
  'test/testing/': 10,
  'test/': 5,
}

export class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const bySize = await super.sort(files)
    return bySize.sort((a, b) => expected(b) - expected(a))
  }
}

function expected({ moduleId }: TestSpecification): number {
  const path = relative(root, moduleId)
  const match = Object.keys(seconds)
    .filter((prefix) => path.startsWith(prefix))
    .sort((a, b) => b.length - a.length)[0]
  return match === undefined ? 0 : seconds[match]!
}
