import { expect, it } from 'vitest'
import { FakeClock } from '../../test/fakes/clock.ts'
import { delivery } from '../../test/fakes/consumer.ts'
import { FakeBroker } from '../../test/fakes/subscription.ts'
import { silentLogger } from '../kernel/logger.ts'
import { Membership, type MembershipOptions } from './membership.ts'

const never = new AbortController().signal

async function setUp(more: Partial<MembershipOptions> = {}) {
  const broker = new FakeBroker()
  const clock = new FakeClock()
  const lost: string[] = []
  const membership = new Membership({
    consumer: 'shipping',
    subscribe: (calls) => broker.subscribe({ consumer: 'shipping', channels: [], ...calls }),
    onRevoked: (streams) => void lost.push(...streams),
    onRevoking: async (streams) => void lost.push(...streams.map((stream) => `soon ${stream}`)),
    onGivenUp: () => void lost.push('all'),
    closeTimeoutMs: 5000,
    trouble: { initialMs: 50, maxMs: 400 },
    clock,
    random: () => 1,
    logger: silentLogger,
    ...more,
  })
  await membership.open()
  return { broker, clock, lost, membership }
}

const at = (assignment: number) => ({ stream: 'orders/0', position: 0n, assignment })

it('tells assignments of a new membership from those of the old one, though both count from 1', async () => {
  const { broker, lost, membership } = await setUp()
  broker.put(delivery('a', 0, null, 2))
  expect(await membership.receive(9, never)).toMatchObject([{ assignment: 2 }])
  await membership.renew()
  expect([lost, broker.closed, broker.requests.length]).toEqual([['all'], 1, 2])
  broker.put(delivery('a', 0, null, 1))
  expect(await membership.receive(9, never)).toMatchObject([{ assignment: 3 }])
  expect(await membership.settle([at(2), at(3)])).toEqual([false, true])
  expect(broker.settled).toEqual(['orders/0@0'])
})

it('loses everything at once when it is given up, before anything is awaited', async () => {
  const { lost, membership } = await setUp()
  const renewed = membership.renew()
  expect(lost).toEqual(['all'])
  await renewed
})

it('joins again until it may', async () => {
  let refusals = 0
  const broker = new FakeBroker()
  const { clock, membership } = await setUp({
    subscribe: (calls) => {
      if (broker.requests.length > 0 && refusals++ < 3) return Promise.reject(new Error('not now'))
      return broker.subscribe({ consumer: 'shipping', channels: [], ...calls })
    },
  })
  await membership.renew()
  expect(clock.slept).toEqual([50, 100, 200])
  broker.put(delivery('a', 0))
  expect(await membership.receive(9, never)).toHaveLength(1)
})

it('does not hear what a membership that is over has lost: the streams may be assigned here again', async () => {
  const { broker, lost, membership } = await setUp()
  await membership.renew()
  await broker.requests[0]!.onRevoking!(['orders/0'])
  broker.requests[0]!.onRevoked(['orders/0'])
  expect(lost).toEqual(['all'])
  await broker.requests[1]!.onRevoking!(['orders/0'])
  broker.requests[1]!.onRevoked(['orders/0'])
  expect(lost).toEqual(['all', 'soon orders/0', 'orders/0'])
})

it('ends a receive that is under way when it is given up, or when its signal aborts', async () => {
  const { membership } = await setUp()
  const received = membership.receive(9, never)
  await membership.renew()
  expect(await received).toEqual([])
  const stop = new AbortController()
  const last = membership.receive(9, stop.signal)
  stop.abort()
  expect(await last).toEqual([])
})

it('closes while it cannot join, and joins no more', async () => {
  const broker = new FakeBroker()
  const stuck = Promise.withResolvers<void>()
  const { clock, membership } = await setUp({
    subscribe: (calls) => {
      if (broker.requests.length === 0)
        return broker.subscribe({ consumer: 'shipping', channels: [], ...calls })
      stuck.resolve()
      return Promise.reject(new Error('not now'))
    },
  })
  const renewed = membership.renew()
  await stuck.promise
  await membership.close()
  await renewed
  const slept = clock.slept.length
  await membership.renew()
  expect(clock.slept).toHaveLength(slept)
  expect(broker.closed).toBeGreaterThan(0)
})
