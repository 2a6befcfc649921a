import assert from 'node:assert/strict'
import { casesIn, type ConformanceCase } from './case.ts'
import { listening } from './publisher-cases.ts'
import {
  idsOf,
  messagesTo,
  messageTo,
  textsByKey,
  type TransportConformanceOptions,
  TransportScene,
} from './transport-scene.ts'

/** What a transport that sends once has to do. */
export function dispatcherCases(options: TransportConformanceOptions): readonly ConformanceCase[] {
  const { maxBytes, keepsOrder } = options.transport.capabilities
  return casesIn(() => new TransportScene(options), {
    'a dispatcher hands over what it is first given for an address': async (scene) => {
      const { transport, address, received } = await listening(scene)
      const dispatcher = await transport.openDispatcher!()
      const batch = messagesTo(address, ['a', 'b', null], 60)
      const results = await dispatcher.dispatch(batch, scene.timeoutMs)
      assert.deepEqual(
        results,
        batch.map(() => ({ outcome: 'dispatched' })),
      )
      assert.deepEqual(idsOf(await received(60)).toSorted(), idsOf(batch).toSorted())
    },

    ...(keepsOrder && {
      'a dispatcher keeps the order of a key over calls that overlap': async (scene) => {
        const { transport, address, received } = await listening(scene)
        const dispatcher = await transport.openDispatcher!()
        const all = messagesTo(address, ['k', 'l', 'm'], 200)
        const calls = Array.from({ length: 20 }, (_, i) =>
          dispatcher.dispatch(all.slice(10 * i, 10 * i + 10), scene.timeoutMs),
        )
        await Promise.all(calls)
        assert.deepEqual(textsByKey(await received(all.length)), textsByKey(all))
      },
    }),

    'a dispatcher drops a message that is too large, alone': async (scene) => {
      const { transport, address, received } = await listening(scene)
      const dispatcher = await transport.openDispatcher!()
      const batch = [
        messageTo(address, 'a', { payload: new Uint8Array(maxBytes + 1) }),
        messageTo(address, 'b'),
      ]
      const results = await dispatcher.dispatch(batch, scene.timeoutMs)
      assert.deepEqual(
        results.map(({ outcome }) => outcome),
        ['dropped', 'dispatched'],
      )
      assert.deepEqual(idsOf(await received(1)), idsOf([batch[1]!]))
    },

    'a dispatcher knows whether somebody takes what it sends': async (scene) => {
      const { transport, address } = await listening(scene)
      const dispatcher = await transport.openDispatcher!()
      assert.equal(await dispatcher.isReady(address, scene.timeoutMs), true)
      if (options.unreachable === undefined) return
      const nowhere = await scene.open(options.unreachable).openDispatcher!()
      assert.equal(await nowhere.isReady('nowhere', 500), false)
    },

    'a dispatcher answers an empty batch, and drops what it is given after it was closed': async (scene) => {
      const transport = scene.open()
      const address = await scene.newAddress()
      const dispatcher = await transport.openDispatcher!()
      assert.deepEqual(await dispatcher.dispatch([], scene.timeoutMs), [])
      await dispatcher.close()
      await dispatcher.close()
      const [result] = await dispatcher.dispatch([messageTo(address, 'k')], scene.timeoutMs)
      assert.equal(result?.outcome, 'dropped')
    },
  })
}
