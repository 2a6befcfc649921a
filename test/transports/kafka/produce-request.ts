import { expect } from 'vitest'

export interface ProduceRequest {
  readonly acks: number
  readonly producerId: bigint
}

/** Reads what matters of a Produce request of version 9 or later, by hand; `undefined` for any other. */
export function readProduceRequest(chunk: Buffer): ProduceRequest | undefined {
  const [apiKey, version] = chunk.length < 20 ? [-1, -1] : [chunk.readInt16BE(4), chunk.readInt16BE(6)]
  if (apiKey !== 0 || version < 9) return undefined
  // Length, key, version, correlation id, client id, no tags, transactional id (null), acks.
  const body = 14 + chunk.readInt16BE(12) + 1
  expect(chunk[body]).toBe(0)
  const acks = chunk.readInt16BE(body + 1)
  // Time-out, one topic: its name, one partition or more: index, size of the batch (two or three bytes), and its head.
  const topics = body + 1 + 2 + 4
  const name = topics + 2 + chunk[topics + 1]! - 1
  let batch = name + 1 + 4
  while (chunk[batch]! > 127) batch += 1
  return { acks, producerId: chunk.readBigInt64BE(batch + 1 + 43) }
}
