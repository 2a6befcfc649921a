import { expect, it } from 'vitest'
import { WaybillError } from '../kernel/errors.ts'
import type { Loss, Outbox, TakeOutcome } from '../ports/outbox.ts'
import type { RelayMind } from './mind/mind.ts'
import { TakingHands, type TakingOptions } from './taking-hands.ts'

const row = (id: string): { id: string; channel: string; partition: number; seq: bigint; epoch: bigint } => {
  return { id, channel: 'orders', partition: 0, seq: 1n, epoch: 1n }
}

/** Hands over a store whose takes are answered like this, one after the other. */
function handsOver(...answers: readonly (Error | readonly TakeOutcome[])[]): {
  readonly hands: TakingHands
  readonly batches: readonly string[]
  readonly ended: readonly (readonly [string, readonly Loss[]])[]
  failEnds(times: number): void
  /** Ends are answered when this has. */
  delayEnds(until: Promise<unknown>): void
} {
  const left = [...answers]
  const batches: string[] = []
  const ended: (readonly [string, readonly Loss[]])[] = []
  let failures = 0
  let answered: Promise<unknown> | undefined
  const outbox = {
    async take(batch: string) {
      batches.push(batch)
      const answer = left.shift()!
      if (answer instanceof Error) throw answer
      return answer
    },
    async endTaken(batch: string, losses: readonly Loss[]) {
      if (answered !== undefined) await answered
      if (failures > 0) {
        failures -= 1
        throw new Error('no answer')
      }
      ended.push([batch, losses])
    },
  }
  const mind = { taken() {}, takeFailed() {}, notReady() {} }
  const options = {
    lane: { transport: 'local', consumer: 'books' },
    clock: { now: () => 0 },
    logger: { warn() {} },
    mind: { sendTimeoutMs: 1 },
  }
  return {
    hands: new TakingHands(
      options as unknown as TakingOptions,
      outbox as unknown as Outbox,
      mind as unknown as RelayMind,
    ),
    batches,
    ended,
    failEnds: (times) => {
      failures = times
    },
    delayEnds: (until) => {
      answered = until
    },
  }
}

const take = (number: number, ...ids: readonly string[]): Parameters<TakingHands['take']>[0] => {
  return { type: 'take', take: number, channel: 'orders', rows: ids.map(row) }
}

it('what a take took that was not answered is counted as lost while its relay lives, once the store answers (A3)', async () => {
  const { hands, batches, ended } = handsOver(new Error('no answer'), ['gone', 'taken'])
  await hands.take(take(1, 'm1', 'm2'))
  expect(ended).toEqual([])
  await hands.take(take(2, 'm1', 'm3'))
  const loss = { channel: 'orders', cause: 'not-sent', code: 'TAKE_NOT_ANSWERED' }
  expect(ended).toEqual([
    [
      batches[0],
      [
        { ...loss, id: 'm1' },
        { ...loss, id: 'm2' },
      ],
    ],
  ])
  expect(batches[1]).not.toBe(batches[0])
})

it('that count is said again where it was not answered itself, and no more than that', async () => {
  const { hands, batches, ended, failEnds } = handsOver(
    new Error('no answer'),
    ['gone'],
    ['taken'],
    ['taken'],
  )
  await hands.take(take(1, 'm1'))
  failEnds(1)
  await hands.take(take(2, 'm1'))
  expect(ended).toEqual([])
  await hands.take(take(3, 'm2'))
  await hands.take(take(4, 'm3'))
  expect(ended.map(([batch]) => batch)).toEqual([batches[0]])
})

it('of a take that the store refused nothing is left to be counted', async () => {
  const refused = new WaybillError('WB_STORE_FAILED', 'The role lacks a right.')
  const { hands, ended } = handsOver(refused, ['taken'])
  await hands.take(take(1, 'm1'))
  await hands.take(take(2, 'm1'))
  expect(ended).toEqual([])
})

it('what has been taken does not wait for that count, and it is said by one take at a time', async () => {
  const { hands, batches, ended, delayEnds } = handsOver(new Error('no answer'), ['taken'], ['taken'])
  await hands.take(take(1, 'm1'))
  const { promise, resolve } = Promise.withResolvers<void>()
  delayEnds(promise)
  setImmediate(resolve)
  await hands.take(take(2, 'm2'))
  await hands.take(take(3, 'm3'))
  expect(ended).toEqual([])
  await promise
  await Promise.resolve()
  expect(ended.map(([batch]) => batch)).toEqual([batches[0]])
})

it('a store that answers no take is not asked for more than it has noted the end of', async () => {
  const error = new WaybillError('WB_STORE_UNREACHABLE', 'password authentication failed')
  const { hands, batches, ended, failEnds } = handsOver(...Array.from({ length: 20 }, () => error), ['taken'])
  failEnds(Infinity)
  for (let i = 0; i < 100; i++) await hands.take(take(i, 'm1'))
  expect(batches).toHaveLength(8)
  failEnds(0)
  await hands.take(take(100, 'm1'))
  expect(ended.map(([batch]) => batch)).toEqual(batches.slice(0, 8))
  expect(batches).toHaveLength(9)
})

it('waits again for what was sent since it last waited, and for nothing twice', async () => {
  const flushes: PromiseWithResolvers<void>[] = []
  const options = {
    lane: { transport: 'kafka', consumer: '' },
    clock: { now: () => 0 },
    logger: { warn() {} },
    mind: { sendTimeoutMs: 1 },
    watch: { sendStarted() {}, dispatchEnded() {} },
    once: {
      send: async (rows: readonly unknown[]) => rows.map(() => null),
      flush: () => {
        flushes.push(Promise.withResolvers())
        return flushes.at(-1)!.promise
      },
    },
  }
  const hands = new TakingHands(
    options as unknown as TakingOptions,
    {} as unknown as Outbox,
    { dispatched() {} } as unknown as RelayMind,
  )
  const send = (): Promise<void> =>
    hands.dispatch({ type: 'dispatch', take: 1, channel: 'orders', rows: [], epochs: [] })
  await hands.flush(1000)
  expect(flushes).toHaveLength(0)
  await send()
  let hasFirst = false
  const first = hands.flush(1000).then(() => (hasFirst = true))
  // Another partition is given up meanwhile that had its part in the same, and a third one that sent on.
  const beside = hands.flush(1000)
  expect(flushes).toHaveLength(1)
  await send()
  const later = hands.flush(1000)
  expect(flushes).toHaveLength(2)
  flushes[1]!.resolve()
  await later
  expect(hasFirst).toBe(false)
  flushes[0]!.resolve()
  await Promise.all([first, beside])
  await hands.flush(1000)
  expect(flushes).toHaveLength(2)
})
