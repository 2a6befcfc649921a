import { expect, it } from 'vitest'
import { FakeClock } from '../../test/fakes/clock.ts'
import { ByHand } from '../../test/model/by-hand.ts'
import { WaybillError } from '../kernel/errors.ts'
import type { Logger } from '../kernel/logger.ts'
import type { Outbox } from '../ports/outbox.ts'
import type { FencedSender } from './sender.ts'
import { FencingHands } from './fencing-hands.ts'
import { RelayWatch } from './watch.ts'

const lane = { transport: 'kafka', consumer: '' }

function setUp(hand: ByHand, sender: Partial<FencedSender>) {
  const warned: string[] = []
  const logger = {
    warn: (_: object, message: string): void => void warned.push(message),
  } as unknown as Logger
  const watch = new RelayWatch(lane, ['orders'], 0)
  const fenced = sender as FencedSender
  const options = { lane, fenced, mind: { sendTimeoutMs: 400 }, clock: new FakeClock(), logger, watch }
  return { hands: new FencingHands(options, {} as Outbox, hand.mind), warned }
}

it('every partition is released in the turn in which that was decided, however long the first of them takes', async () => {
  const released: number[] = []
  const first = Promise.withResolvers<void>()
  const { hands, warned } = setUp(new ByHand({}, 'fence'), {
    async release(partition) {
      released.push(partition)
      if (partition === 0) await first.promise
      if (partition === 1) throw new Error('no')
    },
  })
  const release = hands.release({ type: 'releaseFenced', partitions: [0, 1, 2] })
  expect(released).toEqual([0, 1, 2])
  first.resolve()
  await release
  expect(warned).toEqual(['could not release a partition at the broker'])
})

it.each([
  ['WB_ABORTED', 'is no trouble to be told of', []],
  ['WB_BROKER_UNREACHABLE', 'is told', ['could not take over a partition at the broker; trying again']],
] as const)('a take-over that ends with %s %s, and is not under way any more', async (code, _, told) => {
  const hand = new ByHand({}, 'fence')
  const { hands, warned } = setUp(hand, {
    async takeOver(_partition, timeoutMs) {
      throw new WaybillError(code, `after ${timeoutMs} ms`)
    },
  })
  const command = hand.take('takeOver')
  await hands.takeOver(command)
  expect(warned).toEqual(told)
  expect(hand.mind.isIdle).toBe(true)
})
