import assert from 'node:assert/strict'
import { casesIn, type ConformanceCase } from './case.ts'
import { consumingCases } from './consuming-cases.ts'
import { outboxCases } from './outbox-cases.ts'
import { messageOf, type StoreConformanceOptions, StoreScene } from './store-scene.ts'

/**
 * What the contracts of `ports/` ask of a store: its schema, transactions, outbox, leases, inbox and checkpoints, by what it declares
 * in its capabilities. For any test runner, as `transportConformance` is; the cases share a database and do not meet in it.
 *
 * Crashes, lost connections, operators' desks and speed are not among them: each store has tests of its own for those.
 */
export function storeConformance(options: StoreConformanceOptions): readonly ConformanceCase[] {
  const common = casesIn(() => new StoreScene(options), {
    'a schema that is there is left as it is, and named the same by everybody': async (scene) => {
      const [one, two] = [await scene.open(), await scene.open()]
      assert.deepEqual(await one.schema.migrate(), [])
      const { found, known } = await one.schema.check()
      assert.equal(found, known)
      assert.equal(await one.schema.identity(), await two.schema.identity())
      assert.equal(one.kind, options.store.kind)
    },

    'a transport keeps the partitions that it was first registered with, and says so': async (scene) => {
      const store = await scene.open()
      const { transport, channel } = await scene.street(store, { partitions: 3 })
      const again = { channel, transport, address: channel, ordered: true, maxBytes: 1000 }
      assert.deepEqual(await store.schema.register([again], [], 3), [])
      assert.deepEqual(await store.schema.register([again], [], 5), [{ transport, partitions: 3 }])
    },

    'a transaction rejects with what its work threw, or when it is aborted, and has no effect then': async (
      scene,
    ) => {
      const store = await scene.open()
      const street = await scene.street(store)
      const { reader } = await scene.desk(store, street)
      const mistake = new Error('no stock')
      const failing = scene.transaction(store, async (executor) => {
        await store.writer.append(executor, street.channel, [messageOf('k')], null)
        throw mistake
      })
      await assert.rejects(failing, (error) => error === mistake)
      const stop = new AbortController()
      const options = { idleTimeoutMs: scene.timeoutMs, signal: stop.signal }
      const aborted = store.transactions.run(options, async ({ executor }) => {
        await store.writer.append(executor, street.channel, [messageOf('k')], null)
        stop.abort(new Error('stopping'))
      })
      await assert.rejects(aborted)
      const kept = await scene.publish(store, street, messageOf('k'))
      const ids = (await reader.read()).map(({ id }) => id)
      assert.deepEqual(ids, kept)
    },
  })
  return [...common, ...outboxCases(options), ...consumingCases(options)]
}
