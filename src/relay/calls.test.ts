import { expect, it } from 'vitest'
import { FakeClock } from '../../test/fakes/clock.ts'
import { WaybillError } from '../kernel/errors.ts'
import { Calls } from './calls.ts'

it('names what is waited for, the longest of each kind, until it is answered', async () => {
  const clock = new FakeClock()
  const calls = new Calls(clock)
  const [first, second] = [Promise.withResolvers<string>(), Promise.withResolvers<string>()]
  const one = calls.noted('database', 'reading', () => first.promise)
  clock.time = 100
  const other = calls.repeated('database', 'reading', () => second.promise)
  void calls.noted('transport', 'sending', () => new Promise(() => {}))
  clock.time = 250
  expect(calls.waiting).toEqual([
    { peer: 'database', what: 'reading', sinceMs: 250 },
    { peer: 'transport', what: 'sending', sinceMs: 150 },
  ])
  first.resolve('answer')
  expect(await one).toBe('answer')
  expect(calls.waiting.map(({ sinceMs }) => sinceMs)).toEqual([150, 150])
  second.resolve('')
  await other
  expect(calls.waiting.map(({ what }) => what)).toEqual(['sending'])
  expect(calls.failed).toEqual([])
})

it('names what has failed until the same succeeds', async () => {
  const clock = new FakeClock()
  const calls = new Calls(clock)
  const fail = (): Promise<never> => Promise.reject(new WaybillError('WB_TIMED_OUT', 'no answer'))
  await expect(calls.repeated('database', 'deleting', fail)).rejects.toMatchObject({ code: 'WB_TIMED_OUT' })
  await expect(calls.noted('database', 'releasing', fail)).rejects.toMatchObject({ code: 'WB_TIMED_OUT' })
  clock.time = 40
  await calls.repeated('database', 'reading', async () => {})
  expect(calls.failed).toEqual([{ peer: 'database', what: 'deleting', code: 'WB_TIMED_OUT', agoMs: 40 }])
  expect(calls.waiting).toEqual([])
  await calls.repeated('database', 'deleting', async () => {})
  expect(calls.failed).toEqual([])
  const calledOff = (): Promise<never> => Promise.reject(new WaybillError('WB_ABORTED', 'not ours any more'))
  await expect(calls.repeated('transport', 'taking over', calledOff)).rejects.toMatchObject({
    code: 'WB_ABORTED',
  })
  expect(calls.failed).toEqual([])
})
