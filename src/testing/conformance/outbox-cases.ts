import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { newMessageId } from '../../kernel/ids.ts'
import { headersFrom } from '../../kernel/message.ts'
import type { BlockedLine, DeadLetter, OutboxRow } from '../../ports/outbox.ts'
import { casesIn, type ConformanceCase } from './case.ts'
import { idsOf, messageOf, type StoreConformanceOptions, StoreScene } from './store-scene.ts'

/** What a store has to do for those who publish, and for relays. */
export function outboxCases(options: StoreConformanceOptions): readonly ConformanceCase[] {
  const { ordersCommits, takes } = options.store.capabilities
  return casesIn(() => new StoreScene(options), {
    'what is appended is read as it was written, in its order, once it has committed': async (scene) => {
      const store = await scene.open()
      const street = await scene.street(store)
      const { reader } = await scene.desk(store, street)
      const odd = 'a "quoted", {braced} \\ back\nslash ü 漢 🚚'
      const payload = Uint8Array.from({ length: 256 }, (_, i) => i)
      const given = [
        { ...messageOf('k', ''), payload, contentType: 'application/x', headers: headersFrom([[odd, odd]]) },
        ...Array.from({ length: 20 }, (_, i) => messageOf('k', String(i))),
        messageOf(odd, ''),
      ]
      const open = await scene.openTransaction(store, (executor) =>
        store.writer.append(executor, street.channel, given, null),
      )
      assert.deepEqual(await reader.read(), [])
      await open.commit()
      const rows = await reader.read()
      const of = (key: string): readonly string[] => idsOf(rows.filter((row) => row.key === key))
      assert.deepEqual(of('k'), idsOf(given.slice(0, -1)))
      assert.deepEqual(of(odd), idsOf(given.slice(-1)))
      const first = rows.find(({ id }) => id === given[0]!.id)!
      assert.deepEqual(Uint8Array.from(first.payload), payload)
      assert.deepEqual([first.contentType, { ...first.headers }], ['application/x', { [odd]: odd }])
      assert.deepEqual(await reader.read(), [])
    },

    'what rolls back was never there': async (scene) => {
      const store = await scene.open()
      const street = await scene.street(store)
      const { reader } = await scene.desk(store, street)
      const open = await scene.openTransaction(store, (executor) =>
        store.writer.append(executor, street.channel, [messageOf('k')], null),
      )
      await open.rollBack()
      const after = await scene.publish(store, street, messageOf('k'))
      assert.deepEqual(idsOf(await reader.read()), after)
    },

    'a channel that nobody registered is refused, and its transaction cannot commit': async (scene) => {
      const store = await scene.open()
      const street = await scene.street(store)
      const { reader } = await scene.desk(store, street)
      const failing = scene.transaction(store, async (executor) => {
        await store.writer.append(executor, street.channel, [messageOf('k')], null)
        await store.writer
          .append(executor, `nowhere-${randomUUID()}`, [messageOf('k')], null)
          .catch((error: unknown) => assert.equal((error as { code?: unknown }).code, 'WB_UNKNOWN_CHANNEL'))
      })
      await assert.rejects(failing, (error: Error) => error.name !== 'AssertionError')
      assert.deepEqual(await reader.read(), [])
    },

    ...(ordersCommits && {
      'of two transactions on one key the one that commits first has the lower numbers': async (scene) => {
        const store = await scene.open()
        // One partition: rows of several are read one partition after the other, whatever their numbers.
        const street = await scene.street(store, { partitions: 1 })
        const { reader } = await scene.desk(store, street)
        const [one, two, three] = [messageOf('k'), messageOf('k'), messageOf('k')]
        const append = (message: typeof one) => (executor: Parameters<typeof store.writer.append>[0]) =>
          store.writer.append(executor, street.channel, [message], null)
        const first = await scene.openTransaction(store, append(one))
        const second = scene.transaction(store, append(three))
        await scene.untilWaits(second)
        await append(two)(first.executor)
        await first.commit()
        await second
        assert.deepEqual(idsOf(await reader.read()), idsOf([one, two, three]))
      },
    }),

    'what commits late, below what was read, is found': async (scene) => {
      const store = await scene.open()
      const street = await scene.street(store, { ordered: false })
      const { reader } = await scene.desk(store, street)
      const late = messageOf(null)
      const open = await scene.openTransaction(store, (executor) =>
        store.writer.append(executor, street.channel, [late], null),
      )
      const early = await scene.publish(store, street, ...Array.from({ length: 8 }, () => messageOf(null)))
      assert.deepEqual(idsOf(await reader.read()).toSorted(), early.toSorted())
      assert.deepEqual(await reader.read(), [])
      await open.commit()
      assert.deepEqual(idsOf(await reader.read()), [late.id])
      assert.deepEqual(await reader.read(), [])
    },

    'news are all that has committed since the last read, or a whole read tells': async (scene) => {
      const store = await scene.open()
      const street = await scene.street(store, { ordered: false })
      const desk = await scene.desk(store, street)
      const late = messageOf(null)
      const open = await scene.openTransaction(store, (executor) =>
        store.writer.append(executor, street.channel, [late], null),
      )
      await scene.publish(store, street, messageOf(null))
      const [row] = await desk.reader.read()
      await open.commit()
      const [next] = await scene.publish(store, street, messageOf(null))
      const news = await desk.reader.news()
      // A store may leave them all to the whole read.
      if (news === null) return
      assert.deepEqual(idsOf(news.rows).toSorted(), [late.id, next!].toSorted())
      assert.equal(news.server, (await desk.reader.look()).server)
      assert.equal(await desk.reader.news({ limit: 1 }), null)
      await desk.outbox.block([lineOf(row!, desk.epochOf(row!.partition))])
      assert.equal(await desk.reader.news(), null)
      desk.reader.last = news.snapshot
      await desk.outbox.remove([row!])
      assert.deepEqual((await desk.reader.news())?.rows, [])
    },

    'a row is removed by its three names, and no other is': async (scene) => {
      const store = await scene.open()
      const street = await scene.street(store)
      const { outbox, reader } = await scene.desk(store, street)
      await scene.publish(store, street, messageOf('k'), messageOf('k'))
      const [first, second] = await reader.read()
      assert.deepEqual(await outbox.remove([{ ...first!, id: newMessageId() }]), { removed: 0 })
      assert.deepEqual(await outbox.remove([first!]), { removed: 1 })
      assert.deepEqual(await outbox.remove([first!]), { removed: 0 })
      const left = await reader.look({ last: null, partitions: zeroed(reader.floors) })
      assert.deepEqual(idsOf(left.rows), [second!.id])
    },

    'a line holds its key until it is due, and is written under the last epoch alone': async (scene) => {
      const store = await scene.open()
      const street = await scene.street(store)
      const desk = await scene.desk(store, street)
      const ids = await scene.publish(store, street, messageOf('k'), messageOf('k'), messageOf('other'))
      const rows = await desk.reader.read()
      const head = rows.find(({ id }) => id === ids[0])!
      const line = lineOf(head, desk.epochOf(head.partition))
      assert.deepEqual(await desk.outbox.block([{ ...line, epoch: line.epoch - 1n }]), ['fenced'])
      assert.deepEqual(await desk.outbox.block([line]), ['written'])
      const fromZero = async (): Promise<readonly OutboxRow[]> =>
        (await desk.reader.look({ last: null, partitions: zeroed(desk.reader.floors) })).rows
      assert.deepEqual(idsOf(await fromZero()), [ids[2]])
      assert.deepEqual(await desk.outbox.block([{ ...line, retryInMs: 0 }]), ['written'])
      const due = (await fromZero()).filter(({ origin }) => origin === 'retry')
      assert.deepEqual(
        due.map(({ id, attempts }) => ({ id, attempts })),
        [{ id: ids[0], attempts: 1 }],
      )
      const withoutRetries = { partitions: [head.partition], channels: [street.channel] }
      assert.deepEqual(idsOf((await desk.reader.look({ withoutRetries })).rows), [])
      await desk.outbox.remove([head])
      assert.deepEqual(await desk.outbox.block([line]), ['gone'])
      assert.deepEqual(idsOf(await fromZero()).toSorted(), ids.slice(1).toSorted())
    },

    'a message that is given up becomes a dead letter, once, under the last epoch alone': async (scene) => {
      const store = await scene.open()
      const street = await scene.street(store)
      const desk = await scene.desk(store, street)
      await scene.publish(store, street, messageOf('k'))
      const [row] = await desk.reader.read()
      const letter: DeadLetter = {
        ...lineOf(row!, desk.epochOf(row!.partition)),
        attempts: 3,
        reason: 'attempts-exhausted',
      }
      assert.deepEqual(await desk.outbox.bury([{ ...letter, epoch: letter.epoch - 1n }]), ['fenced'])
      assert.deepEqual(await desk.outbox.bury([letter]), ['written'])
      assert.deepEqual(await desk.outbox.bury([letter]), ['gone'])
      const found = await store.deadLetters.list({ channel: street.channel }, { limit: 10 })
      assert.deepEqual(
        found.map(({ id, attempts, reason, key }) => ({ id, attempts, reason, key })),
        [{ id: row!.id, attempts: 3, reason: 'attempts-exhausted', key: 'k' }],
      )
    },

    ...(takes && {
      'a row is taken once, under the last epoch alone, and nobody reads it again': async (scene) => {
        const store = await scene.open()
        const street = await scene.street(store)
        const desk = await scene.desk(store, street)
        await scene.publish(store, street, messageOf('k'))
        const [row] = await desk.reader.read()
        const { partition, seq, id, channel } = row!
        const taken = { partition, seq, id, channel, epoch: desk.epochOf(partition) }
        const stale = { ...taken, epoch: taken.epoch - 1n }
        assert.deepEqual(await desk.outbox.take(randomUUID(), [stale]), ['fenced'])
        const batch = randomUUID()
        assert.deepEqual(await desk.outbox.take(batch, [taken]), ['taken'])
        assert.deepEqual(await desk.outbox.take(randomUUID(), [taken]), ['gone'])
        await desk.outbox.endTaken(batch, [])
        const looked = await desk.reader.look({ last: null, partitions: zeroed(desk.reader.floors) })
        assert.deepEqual(looked.rows, [])
      },
    }),

    'partitions are leased to one relay at a time, each time under a higher epoch': async (scene) => {
      const store = await scene.open()
      const street = await scene.street(store, { partitions: 4 })
      const lane = { transport: street.transport, consumer: '' }
      const [one, two] = [await store.openLeases(lane), await store.openLeases(lane)]
      const mine = await one.claim(3)
      assert.equal(mine.length, 3)
      const theirs = await two.claim(4)
      assert.equal(theirs.length, 1)
      assert.equal(new Set([...mine, ...theirs].map(({ partition }) => partition)).size, 4)
      assert.deepEqual(await two.claim(4), [])
      const { relays, partitions } = await one.survey()
      assert.deepEqual([relays, partitions], [2, 4])
      await one.release([mine[0]!])
      assert.deepEqual(new Set(await one.renew(mine, false)), new Set(mine.slice(1)))
      const [given] = await two.claim(4)
      assert.equal(given?.partition, mine[0]!.partition)
      assert.ok(given.epoch > mine[0]!.epoch, 'its epoch is higher')
      // Those of an older epoch are left alone.
      await one.release([mine[0]!])
      assert.equal((await two.renew([given], false)).length, 1)
      await one.close()
      assert.equal((await two.claim(4)).length, 2)
      await two.close()
    },
  })
}

/** From the beginning, as after a rewind. */
function zeroed(
  floors: ReadonlyMap<number, bigint>,
): readonly { readonly partition: number; readonly floor: bigint; readonly mark: null }[] {
  return [...floors.keys()].map((partition) => ({ partition, floor: 0n, mark: null }))
}

function lineOf({ partition, seq, id, channel, key }: OutboxRow, epoch: bigint): BlockedLine {
  const failure = { attempts: 1, retryInMs: 3_600_000, errorCode: 'E', error: 'why' }
  return { partition, seq, id, channel, key, epoch, ...failure }
}
