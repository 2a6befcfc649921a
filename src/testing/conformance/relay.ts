import assert from 'node:assert/strict'
import { until } from '../until.ts'
import { casesIn, type ConformanceCase } from './case.ts'
import {
  maxAttempts,
  type Numbered,
  type RelayConformanceOptions,
  RelayScene,
  type Sent,
} from './relay-scene.ts'

/**
 * What is asked of a relay over a store, whichever way it learns of messages: every committed message goes to its transport, in order of
 * its key, once without a fault, and nothing else does. For any test runner, as `transportConformance` is.
 */
export function relayConformance(options: RelayConformanceOptions): readonly ConformanceCase[] {
  const scene = async (): Promise<RelayScene> => {
    const opened = new RelayScene(options)
    await opened.migrate()
    return opened
  }
  const confirming = casesIn(scene, {
    'every committed message is sent once, in order of its key, and what rolled back is not': async (
      scene,
    ) => {
      await scene.publish(numbered(['a', 'b', 'c'], 30))
      await scene.startRelay()
      await assert.rejects(
        scene.publish(numbered(['a'], 1, 100), () => Promise.reject(new Error('no stock'))),
      )
      await scene.publish(numbered(['a', 'b', 'c'], 30, 30))
      await scene.untilSent(180)
      judge(scene.sent, { copies: 0, count: 180 })
    },

    'a message that commits late is sent, and holds up nobody meanwhile': async (scene) => {
      await scene.startRelay()
      const [begun, end] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
      const late = scene.publish(numbered(['late'], 1), () => {
        begun.resolve()
        return end.promise
      })
      await begun.promise
      await scene.publish(numbered(['early'], 10))
      await scene.untilSent(10).finally(end.resolve)
      await late
      await scene.untilSent(11)
      judge(scene.sent, { copies: 0, count: 11 })
    },

    'several relays send each message once, also where one of them stops under load': async (scene) => {
      const [one] = [await scene.startRelay(), await scene.startRelay()]
      // So many that each relay has some of them, however the partitions are shared out.
      const keys = Array.from({ length: 24 }, (_, i) => `key-${i}`)
      for (let round = 0; round < 10; round++) {
        await scene.publish(numbered(keys, 2, 2 * round))
        if (round !== 5) continue
        const hasSent = (): boolean => scene.sent.some(({ relay }) => relay === one.number)
        await until('a send of the first relay', hasSent, { timeoutMs: scene.timeoutMs })
        await one.stop()
      }
      await scene.untilSent(480)
      judge(scene.sent, { copies: 0, count: 480 })
      assert.ok(new Set(scene.sent.map(({ relay }) => relay)).size > 1, 'both have sent')
    },

    'what has an unknown fate is sent again under its id, before what stands behind it in its key': async (
      scene,
    ) => {
      let doubts = 2
      scene.fateOf = ({ key, place }) => {
        const isInDoubt = key === 'a' && place === 3 && doubts > 0
        if (isInDoubt) doubts -= 1
        return isInDoubt
          ? { outcome: 'unknown', code: 'WB_TIMED_OUT', reason: 'No answer.' }
          : { outcome: 'confirmed' }
      }
      await scene.publish(numbered(['a', 'b'], 10))
      await scene.startRelay()
      await scene.untilSent(20)
      const confirmed = (): readonly Sent[] => scene.sent.filter(({ isConfirmed }) => isConfirmed)
      await until('every confirm', () => confirmed().length === 20, { timeoutMs: scene.timeoutMs })
      const tries = triesOf(scene.sent, 'a', 3)
      assert.deepEqual([tries.length, new Set(tries.map(({ id }) => id)).size], [3, 1])
      judge(confirmed(), { copies: 0, count: 20 })
      judge(ofKey(scene.sent, 'b'), { copies: 0, count: 10 })
    },

    'what is rejected for good becomes a dead letter, and its key and all others go on': async (scene) => {
      scene.fateOf = ({ key, place }) =>
        key === 'a' && place === 3
          ? { outcome: 'rejected', scope: 'message', retryable: false, code: 'TOO_LARGE', reason: 'It is.' }
          : { outcome: 'confirmed' }
      await scene.publish(numbered(['a', 'b'], 10))
      await scene.startRelay()
      await scene.untilSent(20)
      const dead = await until(
        'the dead letter',
        async () => {
          const found = await deadIn(scene)
          return found.length > 0 && found
        },
        { timeoutMs: scene.timeoutMs },
      )
      assert.deepEqual(
        dead.map(({ reason, errorCode, consumer }) => ({ reason, errorCode, consumer })),
        [{ reason: 'rejected', errorCode: 'TOO_LARGE', consumer: '' }],
      )
      assert.equal(triesOf(scene.sent, 'a', 3).length, 1)
      await until('what stood behind it', () => triesOf(scene.sent, 'a', 10).length > 0, {
        timeoutMs: scene.timeoutMs,
      })
    },

    'what is refused again and again is given up after its attempts, and all others go on meanwhile': async (
      scene,
    ) => {
      scene.fateOf = ({ key, place }) =>
        key === 'a' && place === 3
          ? { outcome: 'rejected', scope: 'message', retryable: true, code: 'BUSY', reason: 'Not now.' }
          : { outcome: 'confirmed' }
      await scene.publish(numbered(['a', 'b'], 10))
      await scene.startRelay()
      // One that does not give up would be waited for in vain: another try tells sooner.
      const hasEnded = async (): Promise<boolean> =>
        triesOf(scene.sent, 'a', 3).length > maxAttempts || (await deadIn(scene)).length > 0
      await until('the last try', hasEnded, { timeoutMs: scene.timeoutMs })
      assert.equal(triesOf(scene.sent, 'a', 3).length, maxAttempts)
      await scene.untilSent(20)
      assert.deepEqual(
        (await deadIn(scene)).map(({ reason, attempts }) => ({ reason, attempts })),
        [{ reason: 'attempts-exhausted', attempts: maxAttempts }],
      )
    },
  })
  if (!options.store.capabilities.takes) return confirming
  const once = async (): Promise<RelayScene> => {
    const opened = new RelayScene(options, 'at-most-once')
    await opened.migrate()
    return opened
  }
  return [
    ...confirming,
    ...casesIn(once, {
      'at most once every message leaves once, and in order of its key': async (scene) => {
        await scene.publish(numbered(['a', 'b', 'c'], 20))
        const relays = [await scene.startRelay(), await scene.startRelay()]
        await scene.publish(numbered(['a', 'b', 'c'], 20, 20))
        await scene.untilSent(120)
        for (const relay of relays) await relay.stop()
        judge(scene.sent, { copies: 0, count: 120 })
      },
    }),
  ]
}

async function deadIn(scene: RelayScene): ReturnType<RelayScene['deadLetters']['list']> {
  return await scene.deadLetters.list({ channel: scene.channel.name })
}

/** `count` messages of each key in turn, whose places go on behind `after`. */
function numbered(keys: readonly string[], count: number, after = 0): readonly Numbered[] {
  return Array.from({ length: count }, (_, i) => keys.map((key) => ({ key, place: after + i + 1 }))).flat()
}

function ofKey(sent: readonly Sent[], key: string): readonly Sent[] {
  return sent.filter((one) => one.key === key)
}

function triesOf(sent: readonly Sent[], key: string, place: number): readonly Sent[] {
  return ofKey(sent, key).filter((one) => one.place === place)
}

/** First sends of a key follow each other without a gap. */
function judge(sent: readonly Sent[], expected: { readonly copies: number; readonly count: number }): void {
  const first = [...new Map(sent.toReversed().map((one) => [one.id, one])).values()].toReversed()
  assert.deepEqual({ copies: sent.length - first.length, count: first.length }, expected)
  for (const [key, own] of Map.groupBy(first, (one) => one.key)) {
    const places = own.map(({ place }) => place)
    assert.deepEqual(
      places,
      places.map((_, i) => places[0]! + i),
      `the messages of key "${key}" come in their order`,
    )
  }
}
