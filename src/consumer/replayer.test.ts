import { expect, it } from 'vitest'
import { FakeClock } from '../../test/fakes/clock.ts'
import { envelope, idOf } from '../../test/fakes/messages.ts'
import { FakeStore } from '../../test/fakes/store.ts'
import { silentLogger } from '../kernel/logger.ts'
import { defineChannel } from '../outbox/channel.ts'
import type { AskedReplay, Replays } from '../ports/replays.ts'
import { until } from '../testing/until.ts'
import { Replayer } from './replayer.ts'

it('a replay that is lost at most once is counted when the store is there again (A3)', async () => {
  const store = new FakeStore()
  const asked: AskedReplay[] = [{ number: 1, envelope: envelope('a'), starts: 1 }]
  const replays: Replays = {
    claim: async () => {
      if (store.isDown) throw new Error('it is down')
      return asked.shift() ?? null
    },
    take: async () => true,
    fail: async () => {},
    release: async () => {},
  }
  const clock = new FakeClock()
  const replayer = new Replayer({
    consumer: 'shipping',
    handlers: new Map([
      [
        'orders',
        {
          channel: defineChannel<string>({ name: 'orders' }),
          form: 'settle-first',
          handle: () => {
            store.isDown = true
            throw new Error('the connection was lost')
          },
        },
      ],
    ]),
    transactions: store.transactions,
    inbox: store.inbox,
    replays,
    intervalMs: 10,
    maxAttempts: 3,
    trouble: { initialMs: 50, maxMs: 400 },
    handlerTimeoutMs: 5000,
    idleTimeoutMs: 10_000,
    stopTimeoutMs: 5000,
    clock,
    random: () => 1,
    logger: silentLogger,
    onEvent: () => {},
  })
  replayer.start()
  await until('some tries', () => clock.slept.length > 3)
  expect(store.losses).toEqual([])
  store.isDown = false
  await until('the count', () => store.losses.length > 0)
  await replayer.stop()
  expect(store.losses).toMatchObject([{ channel: 'orders', id: idOf('a'), cause: 'handler-failed' }])
})
