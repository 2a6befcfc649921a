import assert from 'node:assert/strict'
import { headersFrom } from '../../kernel/message.ts'
import type { Transport } from '../../ports/transport.ts'
import { casesIn, type ConformanceCase } from './case.ts'
import {
  idsOf,
  messagesTo,
  messageTo,
  textsByKey,
  type TransportConformanceOptions,
  TransportScene,
} from './transport-scene.ts'

const keys = ['a', 'b', 'c', 'd', 'e', 'f', 'g']

/** What a transport that confirms has to do with a batch. */
export function publisherCases(options: TransportConformanceOptions): readonly ConformanceCase[] {
  const { maxBytes, keepsOrder, ordersBatch } = options.transport.capabilities
  return casesIn(() => new TransportScene(options), {
    'a publisher confirms each message of a batch, and it arrives as it was, byte for byte': async (
      scene,
    ) => {
      const { transport, address, received } = await listening(scene)
      const publisher = await transport.openPublisher!()
      const headers = headersFrom([['tenant', 'zürich']])
      const bytes = Uint8Array.from({ length: 256 }, (_, i) => i)
      const batch = [
        ...messagesTo(address, keys, 70),
        messageTo(address, null),
        messageTo(address, 'kéy-🚢', { headers, payload: bytes, contentType: 'application/octet-stream' }),
        messageTo(address, 'empty', { payload: new Uint8Array() }),
      ]
      const fates = await publisher.publish(batch, scene.timeoutMs)
      assert.deepEqual(
        fates,
        batch.map(() => ({ outcome: 'confirmed' })),
      )
      const arrived = new Map((await received(batch.length)).map(({ envelope }) => [envelope?.id, envelope]))
      for (const { envelope } of batch) {
        const found = arrived.get(envelope.id)
        // Of whichever class its bytes are.
        const plain = found && { ...found, payload: Uint8Array.from(found.payload) }
        assert.deepEqual(plain, { ...envelope, payload: Uint8Array.from(envelope.payload) })
      }
    },

    ...(keepsOrder && {
      'a publisher keeps the order of a key': async (scene) => {
        const { transport, address, received } = await listening(scene)
        const publisher = await transport.openPublisher!()
        const all = messagesTo(address, ordersBatch ? ['k', 'l', 'm'] : keys, 210)
        const size = ordersBatch ? 10 : 1
        const calls: Promise<unknown>[] = []
        for (let from = 0; from < all.length; from += size) {
          const call = publisher.publish(all.slice(from, from + size), scene.timeoutMs)
          calls.push(call)
          // Where a batch has no order a key has one message under way at a time.
          if (!ordersBatch) await call
        }
        await Promise.all(calls)
        assert.deepEqual(textsByKey(await received(all.length)), textsByKey(all))
      },
    }),

    'a publisher rejects a message that is too large, alone and for good': async (scene) => {
      const { transport, address, received } = await listening(scene)
      const publisher = await transport.openPublisher!()
      const batch = [
        messageTo(address, 'a'),
        messageTo(address, 'b', { payload: new Uint8Array(maxBytes + 1) }),
        messageTo(address, 'c'),
      ]
      const [first, large, last] = await publisher.publish(batch, scene.timeoutMs)
      assert.deepEqual([first, last], [{ outcome: 'confirmed' }, { outcome: 'confirmed' }])
      assert.ok(large?.outcome === 'rejected', 'it is rejected')
      assert.deepEqual([large.scope, large.retryable], ['message', false])
      assert.deepEqual(new Set(idsOf(await received(2))), new Set(idsOf([batch[0]!, batch[2]!])))
    },

    'a publisher answers an empty batch, and rejects what it is given after it was closed': async (scene) => {
      const transport = scene.open()
      const address = await scene.newAddress()
      const publisher = await transport.openPublisher!()
      assert.deepEqual(await publisher.publish([], scene.timeoutMs), [])
      await publisher.close()
      await publisher.close()
      const [fate] = await publisher.publish([messageTo(address, 'k')], scene.timeoutMs)
      assert.equal(fate?.outcome, 'rejected')
    },

    ...(options.unreachable && {
      'a publisher says within its time that nothing was sent where nothing answers': async (scene) => {
        const publisher = await scene.open(options.unreachable).openPublisher!()
        const began = performance.now()
        const fates = await publisher.publish(messagesTo('nowhere', ['k', 'l'], 4), 500)
        assert.ok(performance.now() - began < 6000, 'within its time and a little')
        assert.equal(fates.length, 4)
        for (const fate of fates) {
          assert.ok(fate.outcome === 'rejected', `${fate.outcome} of what has not left`)
          assert.equal(fate.retryable, true)
        }
      },
    }),
  })
}

interface Listening {
  readonly transport: Transport
  readonly address: string
  readonly received: (count: number) => ReturnType<TransportScene['receive']>
}

/** Somebody subscribes before anything is sent: not every broker keeps what came before. */
export async function listening(scene: TransportScene): Promise<Listening> {
  const transport = scene.open()
  const address = await scene.newAddress()
  const subscription = await scene.subscribe(transport, [address])
  return { transport, address, received: (count) => scene.receive(subscription, count) }
}
