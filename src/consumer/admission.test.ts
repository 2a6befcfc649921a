import { describe, expect, it } from 'vitest'
import { envelope, idOf } from '../../test/fakes/messages.ts'
import { FakeStore } from '../../test/fakes/store.ts'
import type { ConsumerForm } from '../guarantees/plan.ts'
import { defineChannel } from '../outbox/channel.ts'
import { brokerAdmission } from './admission.ts'
import type { HandlerEntry } from './handler.ts'

function handlersOf(channels: Readonly<Record<string, ConsumerForm>>): Map<string, HandlerEntry> {
  return new Map(
    Object.entries(channels).map(([name, form]) => [
      name,
      { channel: defineChannel({ name }), form, handle: () => {} },
    ]),
  )
}

function item(name: string, channel: string): { envelope: ReturnType<typeof envelope>; ref: null } {
  return { envelope: envelope(name, null, { channel }), ref: null }
}

describe('admission of messages of a broker', () => {
  it('is none where no channel has the form inbox', () => {
    const handlers = handlersOf({ orders: 'settle-after' })
    expect(brokerAdmission(new FakeStore().inbox, 'shipping', handlers)).toBeUndefined()
  })

  it('notes those of the form inbox only, and lets the others pass', async () => {
    const store = new FakeStore()
    const admit = brokerAdmission(store.inbox, 'shipping', handlersOf({ a: 'inbox', b: 'settle-after' }))
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
    const admit = brokerAdmission(store.inbox, 'shipping', handlersOf({ a: 'inbox', b: 'settle-after' }))
    const admitted = await store.transactions.run({ idleTimeoutMs: 1 }, ({ executor }) =>
      admit!(executor, [item('other', 'b')]),
    )
    expect(admitted).toEqual(new Set([idOf('other')]))
    expect(store.handled.size).toBe(0)
  })
})
