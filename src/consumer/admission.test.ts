import { describe, expect, it } from 'vitest'
import { envelope, idOf } from '../../test/fakes/messages.ts'
import { FakeStore } from '../../test/fakes/store.ts'
import type { ConsumerForm } from '../guarantees/plan.ts'
import { defineChannel } from '../outbox/channel.ts'
import { brokerAdmission, type Admission } from './admission.ts'
import type { HandlerEntry } from './handler.ts'
import { StreamCheckpoints } from './stream-checkpoints.ts'
import type { WindowEntry } from './window-entry.ts'
import type { WorkItem } from './work-item.ts'

function handlersOf(channels: Readonly<Record<string, ConsumerForm>>): Map<string, HandlerEntry> {
  return new Map(
    Object.entries(channels).map(([name, form]) => [
      name,
      { channel: defineChannel({ name }), form, handle: () => {} },
    ]),
  )
}

function item(name: string, channel: string): WorkItem<WindowEntry> {
  const found = envelope(name, null, { channel })
  const delivery = { envelope: found, raw: null, stream: `${channel}/0`, position: 0n, assignment: 1 }
  const ref: WindowEntry = {
    delivery,
    form: 'after',
    key: null,
    isCautious: false,
    state: 'running',
    dueAt: 0,
  }
  return { envelope: found, ref, isAlone: false }
}

function admissionOf(
  store: FakeStore,
  channels: Readonly<Record<string, ConsumerForm>>,
): Admission<WindowEntry> | undefined {
  const checkpoints = new StreamCheckpoints(store.checkpoints, 'shipping')
  return brokerAdmission(store.inbox, 'shipping', handlersOf(channels), checkpoints)
}

describe('admission of messages of a broker', () => {
  it('is none where no channel has the form inbox', () => {
    expect(admissionOf(new FakeStore(), { orders: 'settle-after' })).toBeUndefined()
  })

  it('notes those of the form inbox only, and lets the others pass', async () => {
    const store = new FakeStore()
    const admission = admissionOf(store, { a: 'inbox', b: 'settle-after' })!
    store.handled.add(idOf('seen'))
    const items = [item('seen', 'a'), item('new', 'a'), item('other', 'b')]
    const admitted = await store.transactions.run({ idleTimeoutMs: 1 }, ({ executor }) =>
      admission.admit(executor, items),
    )
    expect(admitted).toEqual(new Set([idOf('new'), idOf('other')]))
    expect(store.handled).toEqual(new Set([idOf('seen'), idOf('new')]))
  })

  it('asks the inbox nothing where a batch has none of them', async () => {
    const store = new FakeStore()
    const admission = admissionOf(store, { a: 'inbox', b: 'settle-after' })!
    const admitted = await store.transactions.run({ idleTimeoutMs: 1 }, ({ executor }) =>
      admission.admit(executor, [item('other', 'b')]),
    )
    expect(admitted).toEqual(new Set([idOf('other')]))
    expect(store.handled.size).toBe(0)
  })
})
