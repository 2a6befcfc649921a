import { describe, expect, it } from 'vitest'
import { envelope, idOf } from '../../test/fakes/messages.ts'
import { FakeStore } from '../../test/fakes/store.ts'
import type { Guarantee } from '../guarantees/guarantees.ts'
import { defineChannel } from '../outbox/channel.ts'
import { brokerAdmission } from './admission.ts'
import type { HandlerEntry } from './handler.ts'

function handlersOf(channels: Readonly<Record<string, Guarantee>>): Map<string, HandlerEntry> {
  return new Map(
    Object.entries(channels).map(([name, guarantee]) => [
      name,
      { channel: defineChannel({ name, guarantee }), handle: () => {} },
    ]),
  )
}

function item(name: string, channel: string): { envelope: ReturnType<typeof envelope>; ref: null } {
  return { envelope: envelope(name, null, { channel }), ref: null }
}

describe('admission of messages of a broker', () => {
  it('is none where no channel is exactly-once', () => {
    const handlers = handlersOf({ orders: 'at-least-once' })
    expect(brokerAdmission(new FakeStore().inbox, 'shipping', handlers)).toBeUndefined()
  })

  it('notes those of exactly-once channels only, and lets the others pass', async () => {
    const store = new FakeStore()
    const admit = brokerAdmission(
      store.inbox,
      'shipping',
      handlersOf({ a: 'exactly-once', b: 'at-least-once' }),
    )
    store.handled.add(idOf('seen'))
    const items = [item('seen', 'a'), item('new', 'a'), item('other', 'b')]
    const admitted = await store.transactions.run({ idleTimeoutMs: 1 }, ({ executor }) =>
      admit!(executor, items),
    )
    expect(admitted).toEqual(new Set([idOf('new'), idOf('other')]))
    expect(store.handled).toEqual(new Set([idOf('seen'), idOf('new')]))
  })

  it('asks the inbox nothing where a batch has none of them', async () => {
    const store = new FakeStore()
    const admit = brokerAdmission(
      store.inbox,
      'shipping',
      handlersOf({ a: 'exactly-once', b: 'at-least-once' }),
    )
    const admitted = await store.transactions.run({ idleTimeoutMs: 1 }, ({ executor }) =>
      admit!(executor, [item('other', 'b')]),
    )
    expect(admitted).toEqual(new Set([idOf('other')]))
    expect(store.handled.size).toBe(0)
  })
})
