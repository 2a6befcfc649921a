import assert from 'node:assert/strict'
import type { AssignedStream, Delivery } from '../../ports/transport.ts'
import { casesIn, type ConformanceCase } from './case.ts'
import {
  idsOf,
  lastOf,
  messagesTo,
  newConsumer,
  textOf,
  type TransportConformanceOptions,
  TransportScene,
} from './transport-scene.ts'

const keys = ['a', 'b', 'c', 'd', 'e']

/** What a transport has to do for those who consume. */
export function subscriptionCases(options: TransportConformanceOptions): readonly ConformanceCase[] {
  const { settles, seeks, keepsOrder } = options.transport.capabilities
  return casesIn(() => new TransportScene(options), {
    'every consumer gets everything at all of its addresses, and no other': async (scene) => {
      const transport = scene.open()
      const [one, two, other] = [await scene.newAddress(), await scene.newAddress(), await scene.newAddress()]
      const [both, first] = [
        await scene.subscribe(transport, [one, two]),
        await scene.subscribe(transport, [one]),
      ]
      const [toOne, toTwo] = [messagesTo(one, keys, 40), messagesTo(two, keys, 20)]
      await scene.send(transport, messagesTo(other, keys, 10))
      await scene.send(transport, [...toOne, ...toTwo])
      const deliveries = await scene.receive(both, 60)
      assert.deepEqual(idsOf(deliveries).toSorted(), idsOf([...toOne, ...toTwo]).toSorted())
      assert.deepEqual(idsOf(await scene.receive(first, 40)).toSorted(), idsOf(toOne).toSorted())
      for (const { envelope, stream } of deliveries)
        assert.ok(stream.startsWith(envelope!.channel), `stream "${stream}" is named for its address`)
    },

    'positions grow within a stream, and no more comes at once than was asked for': async (scene) => {
      const transport = scene.open()
      const address = await scene.newAddress()
      const subscription = await scene.subscribe(transport, [address])
      await scene.send(transport, messagesTo(address, keys, 100))
      const last = new Map<string, bigint>()
      const seen = new Set<string>()
      const signal = AbortSignal.timeout(scene.timeoutMs)
      while (seen.size < 100) {
        const deliveries = await subscription.receive(7, signal)
        assert.ok(deliveries.length > 0, `only ${seen.size} of 100 came`)
        assert.ok(deliveries.length <= 7, `${deliveries.length} came where 7 were asked for`)
        for (const { stream, position, assignment } of deliveries) {
          const before = last.get(`${stream} ${assignment}`) ?? -1n
          assert.ok(position > before, `position ${position} comes after ${before}`)
          last.set(`${stream} ${assignment}`, position)
          seen.add(`${stream} ${position}`)
        }
      }
    },

    'a receive ends with nothing when it is told to stop, and when the subscription is closed': async (
      scene,
    ) => {
      const subscription = await scene.subscribe(scene.open(), [await scene.newAddress()])
      const stop = new AbortController()
      const first = subscription.receive(10, stop.signal)
      stop.abort()
      assert.deepEqual(await first, [])
      const second = subscription.receive(10, scene.over)
      await subscription.close()
      assert.deepEqual(await second, [])
      await subscription.close()
    },

    ...(settles && {
      'what was not settled comes to the next member of a consumer, and what was settled does not': async (
        scene,
      ) => {
        const transport = scene.open()
        const address = await scene.newAddress()
        const consumer = newConsumer()
        const first = await scene.subscribe(transport, [address], { consumer })
        const batch = messagesTo(address, ['k'], 20)
        await scene.send(transport, batch)
        const deliveries = await scene.receive(first, 20)
        assert.deepEqual(await first.settle([deliveries[11]!]), [true])
        await first.close()
        const next = await scene.subscribe(transport, [address], { consumer })
        // Without another one only what comes too often would be seen, and nothing of what is missing.
        await scene.send(transport, messagesTo(address, ['k'], 1))
        const again = await scene.receive(next, 9)
        const inTurn = (texts: readonly string[]): readonly string[] =>
          keepsOrder ? texts : texts.toSorted()
        const unsettled = deliveries.slice(12).map(textOf)
        assert.deepEqual(inTurn(again.map(textOf)), inTurn([...unsettled, '0']))
        if (keepsOrder) assert.deepEqual(unsettled, batch.slice(12).map(textOf))
      },

      'a settlement is answered for each position, and refused of another assignment or stream': async (
        scene,
      ) => {
        const transport = scene.open()
        const address = await scene.newAddress()
        const subscription = await scene.subscribe(transport, [address])
        await scene.send(transport, messagesTo(address, ['k'], 10))
        const deliveries = await scene.receive(subscription, 10)
        const [fourth, last] = [deliveries[3]!, deliveries[9]!]
        const stale: Delivery = { ...last, assignment: last.assignment - 1 }
        const strange: Delivery = { ...last, stream: 'another/0' }
        assert.deepEqual(await subscription.settle([]), [])
        assert.deepEqual(await subscription.settle([stale]), [false])
        assert.deepEqual(await subscription.settle([stale, fourth, strange]), [false, true, false])
      },

      'a settled position does not go back, however settlements overlap': async (scene) => {
        const transport = scene.open()
        const address = await scene.newAddress()
        const consumer = newConsumer()
        const first = await scene.subscribe(transport, [address], { consumer })
        await scene.send(transport, messagesTo(address, ['k'], 10))
        const deliveries = await scene.receive(first, 10)
        const answers = await Promise.all(deliveries.toReversed().map((delivery) => first.settle([delivery])))
        assert.deepEqual(new Set(answers.flat()), new Set([true]))
        await first.close()
        const next = await scene.subscribe(transport, [address], { consumer })
        const after = messagesTo(address, ['k'], 1)
        await scene.send(transport, after)
        assert.deepEqual(idsOf(await scene.receive(next, 1)), idsOf(after))
      },

      'a consumer that settles everything leaves nothing to whoever comes after it': async (scene) => {
        const transport = scene.open()
        const address = await scene.newAddress()
        const consumer = newConsumer()
        const first = await scene.subscribe(transport, [address], { consumer })
        await scene.send(transport, messagesTo(address, keys, 50))
        const positions = lastOf(await scene.receive(first, 50))
        assert.deepEqual(
          await first.settle(positions),
          positions.map(() => true),
        )
        await first.close()
        const next = await scene.subscribe(transport, [address], { consumer })
        const after = messagesTo(address, ['z'], 1)
        await scene.send(transport, after)
        assert.deepEqual(idsOf(await scene.receive(next, 1)), idsOf(after))
      },
    }),

    ...(seeks && {
      'a subscription starts where `startAt` says, which is asked before anything of a stream comes': async (
        scene,
      ) => {
        const transport = scene.open()
        const address = await scene.newAddress()
        const consumer = newConsumer()
        const first = await scene.subscribe(transport, [address], { consumer })
        await scene.send(transport, messagesTo(address, ['k'], 10))
        const { stream, position } = (await scene.receive(first, 10))[6]!
        await first.close()
        const asked: AssignedStream[] = []
        const startAt = async (streams: readonly AssignedStream[]): Promise<ReadonlyMap<string, bigint>> => {
          asked.push(...streams)
          return new Map([[stream, position]])
        }
        const second = await scene.subscribe(transport, [address], { consumer, startAt })
        assert.deepEqual((await scene.receive(second, 4)).map(textOf), ['6', '7', '8', '9'])
        const lineages = asked.filter((each) => each.stream === stream).map(({ lineage }) => lineage)
        assert.equal(new Set(lineages).size, 1)
        assert.notEqual(lineages[0], '')
      },
    }),
  })
}
