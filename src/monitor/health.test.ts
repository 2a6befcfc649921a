import { expect, it } from 'vitest'
import { WaybillError } from '../kernel/errors.ts'
import { examine } from './health.ts'

const well = { name: 'well', check: async () => null }

it('is well where each component is', async () => {
  expect(await examine([well], 1000)).toEqual({
    isHealthy: true,
    components: [{ name: 'well', isHealthy: true }],
  })
  expect(await examine([], 1000)).toMatchObject({ isHealthy: true })
})

it('names the component that hangs, the one that says no and the one that throws, and asks the others all the same', async () => {
  const checks = [
    { name: 'hangs', check: () => new Promise<null>(() => {}) },
    { name: 'ill', check: async () => 'it is ill' },
    {
      name: 'throws',
      check: async () => {
        throw new WaybillError('WB_STORE_FAILED', 'postgres://user:canary@host')
      },
    },
    well,
  ]
  const health = await examine(checks, 20)
  expect(health).toEqual({
    isHealthy: false,
    components: [
      { name: 'hangs', isHealthy: false, reason: 'WB_TIMED_OUT' },
      { name: 'ill', isHealthy: false, reason: 'it is ill' },
      { name: 'throws', isHealthy: false, reason: 'WB_STORE_FAILED' },
      { name: 'well', isHealthy: true },
    ],
  })
})
