import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import type { FencedMessage } from '../../ports/transport.ts'
import { casesIn, type ConformanceCase } from './case.ts'
import { listening } from './publisher-cases.ts'
import {
  idsOf,
  lastOf,
  messagesTo,
  messageTo,
  newConsumer,
  textOf,
  type TransportConformanceOptions,
  TransportScene,
} from './transport-scene.ts'

/** What a transport that fences has to do. */
export function fencedCases(options: TransportConformanceOptions): readonly ConformanceCase[] {
  return casesIn(() => new TransportScene(options), {
    'a take-over tells the last committed transaction, exactly': async (scene) => {
      const { transport, address, received } = await listening(scene)
      const outbox = randomUUID()
      const publisher = await transport.openFencedPublisher!(outbox)
      const before = await publisher.takeOver(5, scene.timeoutMs)
      assert.equal(before.last, null)
      const [first, second] = [rowsTo(address, 1, 30), rowsTo(address, 31, 30)]
      for (const [i, batch] of [first, second].entries()) {
        const note = { epoch: 7n, number: BigInt(i + 1) }
        assert.deepEqual(await publisher.publish(5, note, batch, scene.timeoutMs), { outcome: 'committed' })
      }
      assert.deepEqual((await received(60)).map(textOf), [...first, ...second].map(textOf))
      const successor = await transport.openFencedPublisher!(outbox)
      const { last, lineage } = await successor.takeOver(5, scene.timeoutMs)
      assert.deepEqual(last, { epoch: 7n, number: 2n, rows: rowsOf(second) })
      assert.equal(lineage, before.lineage)
      assert.equal((await successor.takeOver(6, scene.timeoutMs)).last, null)
      assert.equal(
        (await (await transport.openFencedPublisher!(randomUUID())).takeOver(5, scene.timeoutMs)).last,
        null,
      )
    },

    'who was taken over is fenced, and nothing of its batch is seen': async (scene) => {
      const { transport, address, received } = await listening(scene)
      const outbox = randomUUID()
      const zombie = await transport.openFencedPublisher!(outbox)
      await zombie.takeOver(0, scene.timeoutMs)
      const first = rowsTo(address, 1, 10)
      await zombie.publish(0, { epoch: 1n, number: 1n }, first, scene.timeoutMs)
      const successor = await transport.openFencedPublisher!(outbox)
      assert.deepEqual((await successor.takeOver(0, scene.timeoutMs)).last?.rows, rowsOf(first))
      const late = await zombie.publish(
        0,
        { epoch: 1n, number: 2n },
        rowsTo(address, 11, 10),
        scene.timeoutMs,
      )
      assert.deepEqual(late, { outcome: 'fenced' })
      const second = rowsTo(address, 21, 10)
      const outcome = await successor.publish(0, { epoch: 2n, number: 2n }, second, scene.timeoutMs)
      assert.deepEqual(outcome, { outcome: 'committed' })
      assert.deepEqual((await received(20)).map(textOf), [...first, ...second].map(textOf))
    },

    'a transaction with a message that is too large has no effect, and says which it was': async (scene) => {
      const { transport, address, received } = await listening(scene)
      const publisher = await transport.openFencedPublisher!(randomUUID())
      await publisher.takeOver(0, scene.timeoutMs)
      const batch = rowsTo(address, 1, 3)
      const payload = new Uint8Array(transport.capabilities.maxBytes + 1)
      const large = { ...messageTo(address, 'k', { payload }), seq: 9n }
      const note = { epoch: 1n, number: 1n }
      const outcome = await publisher.publish(0, note, [...batch, large], scene.timeoutMs)
      assert.ok(outcome.outcome === 'rejected', outcome.outcome)
      assert.deepEqual(
        outcome.fates.map((fate) => fate.outcome === 'rejected' && fate.retryable),
        [true, true, true, false],
      )
      assert.deepEqual(await publisher.publish(0, note, batch, scene.timeoutMs), { outcome: 'committed' })
      assert.deepEqual((await received(3)).map(textOf), batch.map(textOf))
    },
  })
}

/** What a transport has to do that moves positions and sends in one transaction. */
export function transformCases(options: TransportConformanceOptions): readonly ConformanceCase[] {
  return casesIn(() => new TransportScene(options), {
    'positions and outputs are committed together': async (scene) => {
      const { transport, address: output, received } = await listening(scene)
      const input = await scene.newAddress()
      const consumer = newConsumer()
      const first = await scene.subscribe(transport, [input], { consumer, transforms: true })
      await scene.send(transport, messagesTo(input, ['k'], 10))
      const deliveries = await scene.receive(first, 10)
      const outputs = messagesTo(output, ['k'], 4)
      const done = deliveries.slice(0, 4)
      const result = await first.commit!(lastOf(done), outputs, scene.timeoutMs)
      assert.deepEqual(result, { outcome: 'committed' })
      assert.deepEqual(idsOf(await received(4)), idsOf(outputs))
      await first.close()
      const next = await scene.subscribe(transport, [input], { consumer, transforms: true })
      assert.deepEqual((await scene.receive(next, 6)).map(textOf), ['4', '5', '6', '7', '8', '9'])
    },

    'a commit with an output that is too large has no effect, and says which it was': async (scene) => {
      const { transport, address: output, received } = await listening(scene)
      const input = await scene.newAddress()
      const first = await scene.subscribe(transport, [input], { transforms: true })
      await scene.send(transport, messagesTo(input, ['k'], 3))
      const positions = lastOf(await scene.receive(first, 3))
      const large = messageTo(output, 'k', { payload: new Uint8Array(transport.capabilities.maxBytes + 1) })
      const outputs = messagesTo(output, ['k'], 2)
      const result = await first.commit!(positions, [outputs[0]!, large], scene.timeoutMs)
      assert.ok(result.outcome === 'rejected', result.outcome)
      assert.deepEqual(
        result.fates.map((fate) => fate.outcome === 'rejected' && fate.retryable),
        [true, false],
      )
      assert.deepEqual(await first.commit!(positions, outputs, scene.timeoutMs), { outcome: 'committed' })
      assert.deepEqual(idsOf(await received(2)), idsOf(outputs))
    },

    'a commit of an assignment that is over is refused, with its outputs': async (scene) => {
      const { transport, address: output, received } = await listening(scene)
      const input = await scene.newAddress()
      const first = await scene.subscribe(transport, [input], { transforms: true })
      await scene.send(transport, messagesTo(input, ['k'], 3))
      const positions = lastOf(await scene.receive(first, 3))
      const stale = positions.map((delivery) => ({ ...delivery, assignment: delivery.assignment - 1 }))
      const refused = await first.commit!(stale, messagesTo(output, ['k'], 2), scene.timeoutMs)
      assert.deepEqual(refused, { outcome: 'refused' })
      const outputs = messagesTo(output, ['k'], 1)
      assert.deepEqual(await first.commit!(positions, outputs, scene.timeoutMs), { outcome: 'committed' })
      assert.deepEqual(idsOf(await received(1)), idsOf(outputs))
    },
  })
}

/** Rows from `from`, whose payloads are their numbers, all of one key. */
function rowsTo(address: string, from: number, count: number): readonly FencedMessage[] {
  return Array.from({ length: count }, (_, i) => ({
    ...messageTo(address, 'k', { payload: new TextEncoder().encode(String(from + i)) }),
    seq: BigInt(from + i),
  }))
}

function rowsOf(
  messages: readonly FencedMessage[],
): readonly { readonly seq: bigint; readonly id: string }[] {
  return messages.map(({ seq, envelope }) => ({ seq, id: envelope.id }))
}
