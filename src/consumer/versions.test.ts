import { describe, expect, it } from 'vitest'
import { delivery, setUpConsumer } from '../../test/fakes/consumer.ts'
import { idOf } from '../../test/fakes/messages.ts'
import { item, never, setUp, type ProcessorSetUp } from '../../test/fakes/processor.ts'
import { foreignMessageId } from '../kernel/ids.ts'
import { headersFrom, type Message } from '../kernel/message.ts'
import { defineChannel, type SomeChannel } from '../outbox/channel.ts'

function withVersion(version: string) {
  return { headers: headersFrom([['waybill-version', version]]) }
}

function setUpWith(channel: SomeChannel): ProcessorSetUp & { got: Message[] } {
  const world = setUp()
  const got: Message[] = []
  world.handlers.set('orders', { channel, form: 'inbox', handle: (message) => void got.push(message) })
  return { ...world, got }
}

const third = defineChannel({
  name: 'orders',
  version: 3,
  upcast: (payload, version) => {
    if (payload === 'bad') throw new Error('cannot')
    return `${String(payload)} of ${version}`
  },
})

describe('versions of a channel', () => {
  it('are upcast before the handler, once, from whatever version a message has; ours without one is of version 1', async () => {
    const { got, process } = setUpWith(third)
    const items = [item('a'), item('b', 'b', withVersion('2')), item('c', 'c', withVersion('3'))]
    expect(await process(items)).toEqual(['handled', 'handled', 'handled'])
    expect(got.map(({ payload, version }) => [payload, version])).toEqual([
      ['a of 1', 1],
      ['b of 2', 2],
      ['c', 3],
    ])
  })

  it('that are newer, or no version at all, are unreadable, without a try', async () => {
    const { got, processor, store } = setUpWith(third)
    const items = ['4', '0', '-1', '1e1', '', '99999999999999999999'].map((version, i) =>
      item(`x${i}`, null, withVersion(version)),
    )
    const outcomes = await processor.process(items, never)
    expect(outcomes.length).toBe(6)
    for (const outcome of outcomes) {
      expect(outcome).toMatchObject({
        outcome: 'failed',
        retryable: false,
        isUnreadable: true,
        code: 'WB_VERSION_UNKNOWN',
      })
    }
    expect([got.length, store.starts.size]).toEqual([0, 0])
  })

  it('that are older are unreadable where the channel has no upcast', async () => {
    const { processor } = setUpWith(defineChannel({ name: 'orders', version: 2 }))
    const [outcome] = await processor.process([item('a')], never)
    expect(outcome).toMatchObject({ isUnreadable: true, code: 'WB_VERSION_UNKNOWN' })
    expect(outcome).toMatchObject({ reason: expect.stringContaining('upcast') as string })
  })

  it('whose upcast throws fail for good, and cost nobody else', async () => {
    const { got, processor } = setUpWith(third)
    const outcomes = await processor.process([item('a'), item('bad'), item('c')], never)
    expect(outcomes).toMatchObject([
      { outcome: 'handled' },
      { outcome: 'failed', retryable: false, isUnreadable: false, code: 'WB_UPCAST_FAILED' },
      { outcome: 'handled' },
    ])
    const [alone] = await processor.process([item('bad', 'other')], never)
    expect(alone).toMatchObject({ outcome: 'failed', retryable: false })
    expect(got.map(({ payload }) => payload)).toContain('c of 1')
  })

  it('are upcast within the time of the handler', async () => {
    const slow = defineChannel({
      name: 'orders',
      version: 2,
      upcast: () => {
        // Work, not waiting: only that counts against a timer which cannot interrupt it.
        const end = performance.now() + 40
        while (performance.now() < end);
        return ''
      },
    })
    const { handlers, processor } = setUp()
    const handle = (): Promise<void> => new Promise((resolve) => setImmediate(() => setImmediate(resolve)))
    handlers.set('orders', { channel: slow, form: 'inbox', timeoutMs: 20, handle })
    const [outcome] = await processor.process([item('a')], never)
    expect(outcome).toMatchObject({ outcome: 'failed', code: 'WB_TIMED_OUT' })
  })
})

describe('a message of Waybill’s own', () => {
  it('is no foreign one, whatever version its id is of', async () => {
    const { got, process } = setUpWith(defineChannel({ name: 'orders' }))
    expect(await process([item('a', null, { id: foreignMessageId('/own', '7') })])).toEqual(['handled'])
    expect(got).toHaveLength(1)
  })

  it('is not handed over as a promise by an upcast that is not synchronous', async () => {
    const late = defineChannel({
      name: 'orders',
      version: 2,
      upcast: () => Promise.reject(new Error('late')),
    })
    const { got, processor } = setUpWith(late)
    const [outcome] = await processor.process([item('a')], never)
    expect(outcome).toMatchObject({
      outcome: 'failed',
      retryable: false,
      code: 'WB_UPCAST_FAILED',
      reason: expect.stringContaining('promise') as string,
    })
    expect(got).toEqual([])
  })
})

describe('a foreign message', () => {
  const foreign = { id: foreignMessageId('/billing', '7'), isForeign: true as const }

  it('is unreadable where no schema says what it has to look like', async () => {
    const { got, processor } = setUpWith(defineChannel({ name: 'orders' }))
    const [outcome] = await processor.process([item('a', null, foreign)], never)
    expect(outcome).toMatchObject({ outcome: 'failed', isUnreadable: true, code: 'WB_ENVELOPE_INVALID' })
    expect(got).toEqual([])
  })

  it('is of the channel’s own version where its schema accepts it', async () => {
    const schema = {
      '~standard': { version: 1, vendor: 'test', validate: (value: unknown) => ({ value }) },
    } as const
    const { got, process } = setUpWith(
      defineChannel({ name: 'orders', schema, version: 2, upcast: () => 'upcast' }),
    )
    expect(await process([item('a', null, foreign)])).toEqual(['handled'])
    expect(got).toMatchObject([{ payload: 'a', version: 2 }])
  })
})

describe('what is unreadable', () => {
  it('is a dead letter as it came, and its key goes on', async () => {
    const { store, broker, consumer } = setUpConsumer()
    const newer = delivery('newer', 0, 'A')
    const headers = headersFrom([['waybill-version', '2']])
    broker.put({ ...newer, envelope: { ...newer.envelope!, headers } }, delivery('a', 1, 'A'))
    await consumer.start()
    await broker.settledUpTo('orders/0@1')
    expect(store.effects).toEqual(['a'])
    expect(store.dead).toMatchObject([
      { envelope: { id: idOf('newer'), headers }, reason: 'unreadable', errorCode: 'WB_VERSION_UNKNOWN' },
    ])
  })
})
