import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it, onTestFinished } from 'vitest'
import { systemRandom } from '../../../src/kernel/clock.ts'
import { spawnChild } from '../../../src/testing/child.ts'
import { isFull } from '../../setup/full.ts'
import { describeWithKafka } from '../../setup/servers.ts'
import { createTopic } from './broker-desk.ts'
import { seenByJava, service } from './fenced-scene.ts'
import { proxiedKafka } from './scene.ts'

const count = 2000
/** The requests at which the process is killed: to begin, to write, to commit, and to fence. Each passes all the same. */
const kinds = [0, 24, 26, 22]
const kills = kinds.length * (isFull ? 8 : 1)

describeWithKafka('a process with a fenced Kafka publisher that is killed', () => {
  const kafka = proxiedKafka()

  it('leaves a note that tells its successor what is there, so that each row is there once and in order', async () => {
    const topic = await createTopic(kafka.brokers, 1)
    const { transactionalIdPrefix, positionsTopic } = service()
    const folder = mkdtempSync(join(tmpdir(), 'waybill-fenced-'))
    onTestFinished(() => rmSync(folder, { recursive: true }))
    const file = join(folder, 'deleted')
    writeFileSync(file, '')
    const args = [kafka.brokers[0]!, topic, transactionalIdPrefix!, positionsTopic!, file, String(count)]
    const script = new URL('./children/fenced-relay.ts', import.meta.url).pathname

    let killed = 0
    let recoveries = 0
    for (let round = 0; ; round++) {
      const kind = kinds[round % kinds.length]!
      // The fence comes once; the others some way into the run.
      let left = kind === 22 ? 1 : 1 + Math.floor(4 * systemRandom())
      const isLast = round === kills
      await using child = spawnChild({ script, args })
      void kafka.proxy.dropReplies({
        request: (chunk) => {
          if (!isLast && chunk.length > 8 && chunk.readInt16BE(4) === kind && --left === 0) void child.kill()
          return false
        },
      })
      const { code, signal } = await child.exited
      if (child.lines.some((line) => /^taken [1-9]/u.test(line))) recoveries += 1
      await kafka.proxy.heal()
      if (signal === 'SIGKILL') killed += 1
      else expect({ code, lines: child.lines }).toMatchObject({ code: 0 })
      if (child.lines.includes('done')) break
    }
    expect(killed).toBe(kills)
    // Each kill at a commit left one.
    expect(recoveries).toBeGreaterThanOrEqual(kills / kinds.length)
    const seen = await seenByJava(kafka.brokers, topic, count)
    expect(seen.map(({ text }) => Number(text))).toEqual(Array.from({ length: count }, (_, i) => i + 1))
  }, 300_000)
})
