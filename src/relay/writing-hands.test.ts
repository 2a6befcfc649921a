import { describe, expect, it } from 'vitest'
import { FakeClock } from '../../test/fakes/clock.ts'
import { ByHand, refusedForGood, row } from '../../test/model/by-hand.ts'
import type { Logger } from '../kernel/logger.ts'
import type { FollowerOutcome, Outbox } from '../ports/outbox.ts'
import { RelayWatch } from './watch.ts'
import { WritingHands } from './writing-hands.ts'

const lane = { transport: 'kafka', consumer: '' }

function setUp(hand: ByHand, outcomes: readonly FollowerOutcome[] | Error) {
  const told: [string, object, string][] = []
  const tell =
    (level: string) =>
    (fields: object, message: string): void => {
      told.push([level, fields, message])
    }
  const levels = ['error', 'warn', 'info', 'debug'] as const
  const logger = Object.fromEntries(levels.map((level) => [level, tell(level)])) as unknown as Logger
  const answer = async (): Promise<readonly FollowerOutcome[]> => {
    if (outcomes instanceof Error) throw outcomes
    return outcomes
  }
  const outbox = { block: answer, bury: answer, moveFollowers: answer, lose: answer } as unknown as Outbox
  const watch = new RelayWatch(lane, ['orders'], 0)
  const hands = new WritingHands({ lane, clock: new FakeClock(), logger, watch }, outbox, hand.mind)
  return { hands, told }
}

describe('what a relay says of what is not delivered', () => {
  it('names a message that blocks or parks its key, and what that means', async () => {
    for (const [onPoison, type, words] of [
      ['block', 'block', 'keeps its key waiting for an operator'],
      ['park', 'bury', 'its key is parked with it'],
    ] as const) {
      const hand = new ByHand({}, 'confirm', { onPoison })
      hand.read([row(1, 'a')])
      hand.send(refusedForGood)
      const { hands, told } = setUp(hand, ['written'])
      await hands.write(hand.take(type))
      expect(told).toEqual([
        ['error', expect.objectContaining({ lane, id: 'm1', code: 'NO' }), expect.stringContaining(words)],
      ])
      hand.decide()
      expect(hand.mind.inMemory).toBe(0)
    }
  })

  it('counts followers and what expired, and nothing that was not written', async () => {
    const hand = new ByHand({}, 'confirm', { expiresAfterMs: 100 })
    hand.read([row(2, 'a', { isParked: true }), row(3, 'a', { isParked: true })])
    const moving = setUp(hand, ['written', 'unparked'])
    await moving.hands.write(hand.take('move'))
    expect(moving.told).toEqual([['warn', { lane, count: 1 }, expect.stringContaining('parked keys')]])

    const expiring = new ByHand({}, 'confirm', { expiresAfterMs: 100 })
    expiring.read([row(1, 'a')])
    const { hands, told } = setUp(expiring, ['gone'])
    await hands.write(expiring.take('lose'))
    expect(told).toEqual([])
  })

  it('is nothing more where the store fails, and the mind asks again', async () => {
    const hand = new ByHand({}, 'confirm', { onPoison: 'block' })
    hand.read([row(1, 'a')])
    hand.send(refusedForGood)
    const { hands, told } = setUp(hand, new Error('no store'))
    await hands.write(hand.take('block'))
    expect(told).toEqual([
      ['warn', expect.objectContaining({ lane }), expect.stringContaining('trying again')],
    ])
    hand.decide()
    hand.until('block')
  })
})
