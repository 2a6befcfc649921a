import assert from 'node:assert/strict'
import { newMessageId } from '../../kernel/ids.ts'
import { headersFrom } from '../../kernel/message.ts'
import type { CheckpointMove } from '../../ports/checkpoints.ts'
import type { RefusedMessage } from '../../ports/inbox.ts'
import type { Store } from '../../ports/store.ts'
import { casesIn, type ConformanceCase } from './case.ts'
import { idsOf, messageOf, type StoreConformanceOptions, StoreScene } from './store-scene.ts'
import { newConsumer } from './transport-scene.ts'

/** What a store has to do for consumers. */
export function consumingCases(options: StoreConformanceOptions): readonly ConformanceCase[] {
  const { hasInbox, hasCheckpoints } = options.store.capabilities
  return casesIn(() => new StoreScene(options), {
    ...(hasInbox && {
      'an inbox admits an id once': async (scene) => {
        const store = await scene.open()
        const [consumer, a, b] = [newConsumer(), newMessageId(), newMessageId()]
        assert.deepEqual(await admit(scene, store, consumer, a, a), new Set([a]))
        assert.deepEqual(await admit(scene, store, consumer, a, b), new Set([b]))
        assert.deepEqual(await admit(scene, store, consumer, a, b), new Set())
        assert.deepEqual(await admit(scene, store, consumer), new Set())
      },

      'an inbox admits an id for one consumer whatever another has handled': async (scene) => {
        const store = await scene.open()
        const [one, two, a] = [newConsumer(), newConsumer(), newMessageId()]
        assert.deepEqual(await admit(scene, store, one, a), new Set([a]))
        assert.deepEqual(await admit(scene, store, two, a), new Set([a]))
      },

      'an inbox forgets what rolls back with its effect': async (scene) => {
        const store = await scene.open()
        const [consumer, a, b] = [newConsumer(), newMessageId(), newMessageId()]
        const open = await scene.openTransaction(store, (executor) =>
          store.inbox.admit(executor, consumer, [a, b]),
        )
        await open.rollBack()
        assert.deepEqual(await admit(scene, store, consumer, a, b), new Set([a, b]))
      },

      'of two copies at the same time the second waits, and runs where the first rolls back alone': async (
        scene,
      ) => {
        const store = await scene.open()
        for (const isCommitted of [true, false]) {
          const [consumer, id] = [newConsumer(), newMessageId()]
          const admit = (executor: Parameters<Store['inbox']['admit']>[0]): Promise<ReadonlySet<string>> =>
            store.inbox.admit(executor, consumer, [id])
          const first = await scene.openTransaction(store, admit)
          const second = scene.transaction(store, admit)
          await scene.untilWaits(second)
          await (isCommitted ? first.commit() : first.rollBack())
          assert.deepEqual(await second, new Set(isCommitted ? [] : [id]))
        }
      },

      'starts are counted for each consumer, one by one, and can be taken back': async (scene) => {
        const { inbox } = await scene.open()
        const [one, two, id] = [newConsumer(), newConsumer(), newMessageId()]
        const counted = await Promise.all(Array.from({ length: 5 }, () => inbox.countStart(one, id)))
        assert.deepEqual(new Set(counted), new Set([1, 2, 3, 4, 5]))
        await inbox.takeBackStart(one, id)
        assert.equal(await inbox.countStart(one, id), 5)
        assert.equal(await inbox.countStart(two, id), 1)
      },

      'a message is given up once, and not where it was handled': async (scene) => {
        const store = await scene.open()
        const [consumer, handled, given] = [newConsumer(), newMessageId(), newMessageId()]
        await scene.transaction(store, (executor) => store.inbox.admit(executor, consumer, [handled]))
        assert.equal(await store.inbox.bury(consumer, refused(handled)), false)
        const open = await scene.openTransaction(store, (executor) =>
          store.inbox.bury(consumer, refused(given), executor),
        )
        await open.rollBack()
        assert.equal(await store.inbox.bury(consumer, refused(given)), true)
        assert.equal(await store.inbox.bury(consumer, refused(given)), false)
        const admitted = await scene.transaction(store, (executor) =>
          store.inbox.admit(executor, consumer, [given]),
        )
        assert.deepEqual(admitted, new Set())
        const [letter, ...more] = await store.deadLetters.list({ consumer }, { limit: 10 })
        assert.deepEqual([letter?.id, letter?.attempts, letter?.errorCode, more.length], [given, 5, 'E', 0])
      },

      'a row goes with the transaction of its only consumer, and stays until each of several has it': async (
        scene,
      ) => {
        const store = await scene.open()
        for (const consumers of [[newConsumer()], [newConsumer(), newConsumer()]]) {
          const street = await scene.street(store, { consumers })
          const ids = await scene.publish(store, street, messageOf('a'), messageOf('b'))
          const desks = []
          for (const consumer of consumers) desks.push(await scene.desk(store, street, consumer))
          for (const [i, { reader, outbox }] of desks.entries()) {
            const rows = await reader.read()
            assert.deepEqual(idsOf(rows).toSorted(), ids.toSorted())
            const take = (): Promise<ReadonlySet<string>> =>
              scene.transaction(store, (executor) => store.inbox.take(executor, consumers[i]!, rows))
            const open = await scene.openTransaction(store, (executor) =>
              store.inbox.take(executor, consumers[i]!, rows),
            )
            await open.rollBack()
            assert.deepEqual(await take(), new Set(ids))
            assert.deepEqual(await take(), new Set())
            await outbox.remove(rows)
          }
          const late = await scene.desk(store, street, newConsumer())
          assert.deepEqual(await late.reader.read(), [])
        }
      },
    }),

    ...(hasCheckpoints && {
      'a checkpoint moves from where it stands alone, and with its transaction': async (scene) => {
        const store = await scene.open()
        const consumer = newConsumer()
        const stream = { stream: 'orders/0', lineage: 'first' }
        const find = async (): Promise<bigint | undefined> =>
          (await store.checkpoints.find(consumer, [stream])).get(stream.stream)
        const advance = (move: Pick<CheckpointMove, 'from' | 'to'>): Promise<boolean> =>
          scene.transaction(store, (executor) =>
            store.checkpoints.advance(executor, consumer, [{ ...stream, ...move }]),
          )
        assert.equal(await find(), undefined)
        const open = await scene.openTransaction(store, (executor) =>
          store.checkpoints.advance(executor, consumer, [{ ...stream, from: null, to: 9n }]),
        )
        await open.rollBack()
        assert.equal(await advance({ from: null, to: 5n }), true)
        assert.equal(await find(), 5n)
        assert.equal(await advance({ from: 4n, to: 6n }), false)
        assert.equal(await advance({ from: null, to: 6n }), false)
        assert.equal(await advance({ from: 5n, to: 8n }), true)
        assert.equal(await find(), 8n)
        const anew = store.checkpoints.find(consumer, [{ ...stream, lineage: 'second' }])
        await assert.rejects(anew, { code: 'WB_CHECKPOINT_MISMATCH' })
      },
    }),
  })
}

/** In a transaction of its own. */
function admit(
  scene: StoreScene,
  store: Store,
  consumer: string,
  ...ids: readonly string[]
): Promise<ReadonlySet<string>> {
  return scene.transaction(store, (executor) => store.inbox.admit(executor, consumer, ids))
}

function refused(id: string): RefusedMessage {
  const envelope = {
    id,
    channel: 'elsewhere',
    key: 'k',
    payload: new Uint8Array([0, 255]),
    contentType: 'application/octet-stream',
    headers: headersFrom([]),
    createdAt: new Date(1e12),
  }
  return { envelope, attempts: 5, reason: 'attempts-exhausted', errorCode: 'E', error: 'why' }
}
