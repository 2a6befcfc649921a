import { describe, expect, it } from 'vitest'
import { FakeClock } from '../../test/fakes/clock.ts'
import { envelope } from '../../test/fakes/messages.ts'
import { FakeExecutor, FakeWriter } from '../../test/fakes/writer.ts'
import { CommitOutcomeUnknownError, WaybillError } from '../kernel/errors.ts'
import type { Outlet } from '../outbox/send.ts'
import type { OutboundMessage } from '../ports/transport.ts'
import { storeOutlet } from './store-outlet.ts'

const down = new WaybillError('WB_STORE_UNREACHABLE', 'it cannot be reached', { retryable: 'yes' })
const unknown = new CommitOutcomeUnknownError('77', new Error('connection lost'))
const message: OutboundMessage = { address: 'orders', envelope: envelope('a') }
const limits = { deadlineMs: 30_000, signal: undefined }

/** Over a store whose transactions end like this, one after the other, and then well. */
function over(
  errors: readonly (Error | null)[],
  isOnce = false,
): {
  readonly outlet: Outlet
  readonly writer: FakeWriter
  readonly clock: FakeClock
  readonly dropped: string[]
  stored(): number
} {
  const left = [...errors]
  const writer = new FakeWriter()
  const clock = new FakeClock()
  const dropped: string[] = []
  let stored = 0
  const outlet = storeOutlet({
    writer,
    transactions: {
      run: async (_options, work) => {
        const result = await work({ executor: new FakeExecutor(), handle: null })
        const error = left.shift()
        if (error !== undefined && error !== null) throw error
        return result
      },
    },
    idleTimeoutMs: 1000,
    retry: { initialMs: 10, maxMs: 100 },
    onDropped: isOnce ? (_message, code) => dropped.push(code) : undefined,
    onStored: (count) => {
      stored += count
    },
    clock,
    random: () => 0.5,
  })
  return { outlet, writer, clock, dropped, stored: () => stored }
}

describe('a message that is sent through the store', () => {
  it('is tried again with the same id until it is there', async () => {
    const { outlet, writer, clock, stored } = over([down, unknown])
    await outlet.send([message], limits)
    expect(writer.appended.map(({ messages }) => messages[0]!.id)).toEqual(
      Array.from({ length: 3 }, () => message.envelope.id),
    )
    expect([clock.slept.length, stored()]).toEqual([2, 1])
  })

  it('is given up at its deadline, as unknown where an answer was lost', async () => {
    const short = { deadlineMs: 100, signal: undefined }
    await expect(
      over(Array.from({ length: 50 }, () => down)).outlet.send([message], short),
    ).rejects.toMatchObject({
      code: 'WB_PUBLISH_REJECTED',
    })
    const mixed = [unknown, ...Array.from({ length: 50 }, () => down)]
    await expect(over(mixed).outlet.send([message], short)).rejects.toMatchObject({
      code: 'WB_PUBLISH_OUTCOME_UNKNOWN',
    })
  })

  it('is given up when its service stops, as at its deadline, and asks nothing more of the store', async () => {
    const { outlet, writer, clock } = over(Array.from({ length: 50 }, () => down))
    const sleep = clock.sleep.bind(clock)
    clock.sleep = async (ms, signal) => {
      if (clock.slept.length === 2) outlet.giveUp!()
      await sleep(ms, signal)
    }
    await expect(outlet.send([message], limits)).rejects.toMatchObject({ code: 'WB_PUBLISH_REJECTED' })
    expect(writer.appended).toHaveLength(3)
  })

  it('stays in doubt where a later try is refused for good', async () => {
    const refused = new WaybillError('WB_SCHEMA_MISSING', 'no schema', { retryable: 'no' })
    await expect(over([unknown, refused]).outlet.send([message], limits)).rejects.toMatchObject({
      code: 'WB_PUBLISH_OUTCOME_UNKNOWN',
    })
    await expect(over([refused]).outlet.send([message], limits)).rejects.toBe(refused)
  })

  it('is in no doubt where only something else than its COMMIT was not answered', async () => {
    const silent = new WaybillError('WB_TIMED_OUT', 'no connection', { retryable: 'unknown' })
    const short = { deadlineMs: 100, signal: undefined }
    const busy = over(Array.from({ length: 50 }, () => silent))
    await expect(busy.outlet.send([message], short)).rejects.toMatchObject({ code: 'WB_PUBLISH_REJECTED' })
    const once = over([silent], true)
    await once.outlet.send([message], limits)
    expect([once.dropped, once.stored()]).toEqual([['WB_TIMED_OUT'], 0])
  })

  it('keeps its deadline while a try waits for something', async () => {
    const outlet = storeOutlet({
      writer: new FakeWriter(),
      transactions: {
        run: async ({ signal }) => {
          await new Promise((resolve) => signal!.addEventListener('abort', resolve, { once: true }))
          throw signal!.reason
        },
      },
      ...{ idleTimeoutMs: 1000, retry: { initialMs: 10, maxMs: 100 }, random: () => 0.5 },
      ...{ onDropped: undefined, onStored: () => {}, clock: new FakeClock() },
    })
    await expect(outlet.send([message], { deadlineMs: 20, signal: undefined })).rejects.toMatchObject({
      code: 'WB_PUBLISH_REJECTED',
      message: expect.stringContaining('WB_TIMED_OUT'),
    })
  })

  it('is tried once at most once, and told as dropped only where it is certainly not there (A5)', async () => {
    const refused = over([down], true)
    await refused.outlet.send([message], limits)
    expect([refused.dropped, refused.stored()]).toEqual([['WB_STORE_UNREACHABLE'], 0])
    const doubted = over([unknown], true)
    await doubted.outlet.send([message], limits)
    expect([doubted.dropped, doubted.stored(), doubted.writer.appended.length]).toEqual([[], 1, 1])
  })
})
