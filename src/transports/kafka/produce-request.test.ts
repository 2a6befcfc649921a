import * as kafka from '@platformatic/kafka'
import { expect, it } from 'vitest'
import { batchProduce } from './produce-request.ts'
import { encodeBatch } from './record-batch.ts'
import { recordOf } from './record.ts'

const now = 1_700_000_000_123
const places = [
  { topic: 'a', partition: 0 },
  { topic: 'b', partition: 2 },
  { topic: 'a', partition: 1 },
]
const texts = ['x', 'y', 'z']

/** What leaves, and what its connection is told of it. */
function leaves(version: number, acks: number, options: object) {
  const sent: { readonly what: readonly unknown[]; readonly payload: kafka.Writer }[] = []
  const connection = {
    send: (key: number, of: number, payload: () => kafka.Writer, parse: unknown, ...flexible: boolean[]) =>
      sent.push({ what: [key, of, parse, ...flexible.slice(0, 2)], payload: payload() }),
  }
  const batches = places.map((place) => ({
    ...place,
    value: encodeBatch(
      texts.map((text) => recordOf(place.topic, text, Buffer.from(text), [])),
      now,
    ),
  }))
  const produce = batchProduce(kafka)(version)
  produce(connection as never, acks, 1234, batches, options, () => {})
  expect(sent).toHaveLength(1)
  return sent[0]!
}

const library = kafka as unknown as Record<string, typeof kafka.produceV11>

it.each(Array.from({ length: 9 }, (_, i) => i + 3))('writes version %i as the library would', (version) => {
  const { createRequest, parseResponse } = library[`produceV${version}`]!
  const options = { producerId: 5n, producerEpoch: 1, transactionalId: 'id' }
  const messages = places.flatMap((place) =>
    texts.map((text) => {
      const bytes = Buffer.from(text)
      return {
        ...place,
        key: bytes,
        value: bytes,
        headers: new Map<Buffer, Buffer>(),
        timestamp: BigInt(now),
      }
    }),
  )
  const sequences = new kafka.NumericMap()
  const theirs = createRequest(-1, 1234, messages, { ...options, sequences })
  const { what, payload } = leaves(version, -1, options)
  expect(payload.buffer.equals(theirs.buffer)).toBe(true)
  expect(payload.context.noResponse).toBeUndefined()
  expect(what).toEqual([0, version, parseResponse, version >= 9, version >= 9])
})

it('names no producer where none is known, and waits for no answer without acknowledgement', () => {
  const { payload } = leaves(11, 0, { producerId: undefined })
  expect(payload.context.noResponse).toBe(true)
  const batch = payload.buffers.find((bytes) => bytes.length > 61)!
  expect(kafka.readRecordsBatch(kafka.Reader.from(batch))).toMatchObject({
    producerId: -1n,
    producerEpoch: -1,
    firstSequence: -1,
    attributes: 0,
    records: texts.map(() => ({})),
  })
})
