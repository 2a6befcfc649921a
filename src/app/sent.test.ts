import { describe, expect, it } from 'vitest'
import { FakeClock } from '../../test/fakes/clock.ts'
import { WaybillError } from '../kernel/errors.ts'
import { silentLogger } from '../kernel/logger.ts'
import type { ReplayBatch, Replayed, SentFilter, SentMessages } from '../ports/sent-messages.ts'
import { createSentDesk, type SentDesk } from './sent.ts'

const now = new Date('2026-11-27T12:00:00Z')
const next = { partition: 0, seq: 1n, id: 'a' }
const done: Replayed = { replayed: 2, known: 1, unroutable: 0, after: null }

class Scene {
  readonly asked: { readonly filter: SentFilter; readonly batch: ReplayBatch }[] = []
  readonly audited: object[] = []
  readonly clock: FakeClock = new FakeClock()
  answers: (Replayed | Error)[] = []
  returned = 0
  readonly desk: SentDesk

  constructor() {
    const sent: Partial<SentMessages> = {
      count: async () => ({ count: 7, now }),
      replay: async (filter, batch) => {
        this.asked.push({ filter, batch })
        const answer = this.answers.shift() ?? done
        if (answer instanceof Error) throw answer
        return answer
      },
    }
    this.desk = createSentDesk({
      store: () => ({ sent: sent as SentMessages }),
      logger: { ...silentLogger, info: (fields: object) => void this.audited.push(fields) },
      clock: this.clock,
      onReturned: () => {
        this.returned += 1
      },
    })
  }
}

describe('replaying what was sent', () => {
  it('goes on batch by batch up to the moment at which it began, wakes relays, and says who did it', async () => {
    const scene = new Scene()
    scene.answers = [{ ...done, after: next }]
    const report = await scene.desk.replay({ since: { agoMs: 3_600_000 } })
    expect(report).toEqual({ replayed: 4, known: 2, unroutable: 0 })
    const filter = { channel: undefined, key: undefined, since: new Date('2026-11-27T11:00:00Z'), until: now }
    expect(scene.asked.map(({ batch }) => batch.after)).toEqual([null, next])
    expect(scene.asked[0]!.filter).toEqual(filter)
    expect(scene.returned).toBe(2)
    expect(scene.audited).toMatchObject([{ action: 'sent.replay', replayed: 4, filter: { until: now } }])
  })

  it('makes a batch again that met a lock, with the same beginning', async () => {
    const scene = new Scene()
    const conflict = new WaybillError('WB_STORE_CONFLICT', 'no', { retryable: 'yes' })
    scene.answers = [{ ...done, after: next }, conflict, conflict]
    await scene.desk.replay({ all: true }, { asNew: true })
    expect(scene.asked.map(({ batch }) => batch.after)).toEqual([null, next, next, next])
    expect(scene.clock.slept).toHaveLength(2)
  })

  it('throws what else fails, and what was done until then is in the log', async () => {
    const scene = new Scene()
    scene.answers = [{ ...done, after: next }, new WaybillError('WB_STORE_UNREACHABLE', 'gone')]
    await expect(scene.desk.replay({ all: true })).rejects.toMatchObject({ code: 'WB_STORE_UNREACHABLE' })
    expect(scene.audited).toMatchObject([{ replayed: 2 }])
  })

  it('stops between two batches when its signal aborts', async () => {
    const scene = new Scene()
    const stop = new AbortController()
    scene.answers = [{ ...done, after: next }]
    await scene.desk.replay({ all: true }, { signal: stop.signal, onProgress: () => stop.abort() })
    expect(scene.asked).toHaveLength(1)
  })

  it.each([
    [{}, 'names nothing'],
    [{ chanel: 'x' }, 'Did you mean "channel"?'],
    [{ since: { agoMs: 1e15 } }, '100 years at most'],
    [{ since: new Date(8.64e15) }, 'the years 1900 to 9999'],
    [{ since: { agoMs: 1000 }, until: { agoMs: 2000 } }, 'since must be before until'],
    [{ since: new Date('2026-11-28T00:00Z') }, 'since must be before until'],
    [{ key: 7 }, 'must be a text'],
    [{ since: '2h' }, 'must be a Date or { agoMs }'],
    [{ until: new Date('x') }, 'must be a Date or { agoMs }'],
    [null, 'an object'],
  ])('refuses %j', async (selection, message) => {
    const { desk, asked } = new Scene()
    const wrong = expect.objectContaining({
      code: 'WB_INVALID_OPTION',
      message: expect.stringContaining(message),
    })
    await expect(desk.replay(selection as never)).rejects.toEqual(wrong)
    await expect(desk.count(selection as never)).rejects.toEqual(wrong)
    expect(asked).toEqual([])
  })
})
