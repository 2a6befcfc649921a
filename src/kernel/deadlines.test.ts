import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { Deadlines } from './deadlines.ts'

const nothing = (): void => {}
const forever = (): Promise<void> => new Promise(nothing)

describe('Deadlines', () => {
  beforeEach(() => {
    vi.useFakeTimers()
  })
  afterEach(() => {
    vi.useRealTimers()
  })

  it('wait for nothing, and set no timer, where a call has ended when it returns', () => {
    const deadlines = new Deadlines(new AbortController().signal)
    expect(deadlines.run(nothing, 100, () => 'it')).toBeUndefined()
    expect(vi.getTimerCount()).toBe(0)
  })

  it('throw what the call throws, and reject with what it rejects with', async () => {
    const deadlines = new Deadlines(new AbortController().signal)
    const boom = new Error('no')
    const thrower = (): void => {
      throw boom
    }
    expect(() => deadlines.run(thrower, 100, () => 'it')).toThrow(boom)
    await expect(
      deadlines.run(
        () => Promise.reject(boom),
        100,
        () => 'it',
      ),
    ).rejects.toBe(boom)
    deadlines.end()
  })

  it('give each call its own time from its own beginning, with one timer', async () => {
    const deadlines = new Deadlines(new AbortController().signal)
    const first = Promise.withResolvers<void>()
    const early = deadlines.run(
      () => first.promise,
      100,
      () => 'the first',
    )
    await vi.advanceTimersByTimeAsync(90)
    first.resolve()
    await early
    const late = deadlines.run(forever, 100, () => 'the second') as Promise<void>
    const failure = late.catch((error: unknown) => error)
    expect(vi.getTimerCount()).toBe(1)
    let isOver = false
    void failure.then(() => (isOver = true))
    await vi.advanceTimersByTimeAsync(95)
    expect(isOver).toBe(false)
    await vi.advanceTimersByTimeAsync(5)
    expect(await failure).toMatchObject({
      code: 'WB_TIMED_OUT',
      message: 'the second did not answer within 100 ms.',
    })
    deadlines.end()
    expect(vi.getTimerCount()).toBe(0)
  })

  it('end a call with less time before the one for which the timer was set', async () => {
    const deadlines = new Deadlines(new AbortController().signal)
    await deadlines.run(
      () => Promise.resolve(),
      10_000,
      () => 'the first',
    )
    const failure = (deadlines.run(forever, 50, () => 'the second') as Promise<void>).catch(
      (error: unknown) => error,
    )
    await vi.advanceTimersByTimeAsync(50)
    expect(await failure).toMatchObject({ code: 'WB_TIMED_OUT' })
    deadlines.end()
  })

  it('give up what runs when the signal aborts, and run nothing after it', async () => {
    const stop = new AbortController()
    const deadlines = new Deadlines(stop.signal)
    const failure = (deadlines.run(forever, 100, () => 'it') as Promise<void>).catch(
      (error: unknown) => error,
    )
    stop.abort()
    expect(await failure).toMatchObject({ code: 'WB_ABORTED' })
    const next = vi.fn(nothing)
    expect(() => deadlines.run(next, 100, () => 'it')).toThrow('it was given up: stopping.')
    expect(next).not.toHaveBeenCalled()
    deadlines.end()
  })

  it('give up a call that itself aborts the signal', async () => {
    const stop = new AbortController()
    const deadlines = new Deadlines(stop.signal)
    const aborting = (): Promise<void> => {
      stop.abort()
      return forever()
    }
    await expect(deadlines.run(aborting, 100, () => 'it')).rejects.toMatchObject({ code: 'WB_ABORTED' })
    deadlines.end()
  })
})
