import { describe, expect, it } from 'vitest'
import { newMessageId } from '../../kernel/ids.ts'
import { headersFrom } from '../../kernel/message.ts'
import type { Delivery } from '../../ports/transport.ts'
import { Inflow } from './inflow.ts'

function delivery(position: number, bytes = 1): Delivery {
  const raw = { payload: new Uint8Array(bytes), error: '' }
  return { envelope: null, raw, stream: 't/0', position: BigInt(position), assignment: 1 }
}

describe('what was fetched and not handed over', () => {
  it('comes out in order, at most as many as asked for', () => {
    const inflow = new Inflow()
    for (let i = 0; i < 5; i++) inflow.push(delivery(i))
    expect(inflow.take(2).map(({ position }) => position)).toEqual([0n, 1n])
    inflow.push(delivery(5))
    expect(inflow.take(100).map(({ position }) => position)).toEqual([2n, 3n, 4n, 5n])
    expect(inflow.take(1)).toEqual([])
    expect(inflow.size).toBe(0)
  })

  it('has no room while it holds many deliveries, and has again when some were taken', () => {
    const inflow = new Inflow()
    for (let i = 0; i < 2000; i++) {
      expect(inflow.hasRoom).toBe(true)
      inflow.push(delivery(i))
    }
    expect(inflow.hasRoom).toBe(false)
    inflow.take(1)
    expect(inflow.hasRoom).toBe(true)
  })

  it('has no room while it holds many bytes', () => {
    const inflow = new Inflow()
    inflow.push(delivery(0, 9 * 1_048_576))
    expect(inflow.hasRoom).toBe(false)
    inflow.take(1)
    expect(inflow.hasRoom).toBe(true)
  })

  it('counts headers and keys as bytes', () => {
    const large = 'x'.repeat(5 * 1_048_576)
    const envelope = {
      id: newMessageId(),
      channel: 'c',
      key: large,
      payload: new Uint8Array(),
      contentType: 'application/json',
      headers: headersFrom([['a', large]]),
      createdAt: new Date(0),
    }
    const inflow = new Inflow()
    inflow.push({ ...delivery(0), envelope, raw: null })
    expect(inflow.hasRoom).toBe(false)
    inflow.take(1)
    expect(inflow.hasRoom).toBe(true)
  })
})
