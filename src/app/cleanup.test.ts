import { expect, it } from 'vitest'
import { VirtualClock } from '../../test/fakes/clock.ts'
import { createCleanupDesk } from './cleanup.ts'

it('a cleanup has an end where messages are handled all the time', async () => {
  const clock = new VirtualClock()
  const retentionMs = 1000
  // One row for each millisecond since 5 s ago, until now: the oldest that is left was handled then.
  let oldest = -5000
  const store = {
    inbox: {
      purge: async (olderThanMs: number, limit: number) => {
        const deleted = Math.min(limit, 1000, Math.max(0, clock.time - olderThanMs - oldest))
        oldest += deleted
        clock.time += 10
        if (clock.time > 10_000) throw new Error('it goes on and on')
        return deleted
      },
    },
    cleaner: { forgetRelays: async () => 0 },
  }
  const settings = { inboxRetentionMs: retentionMs, retainMs: 0 }
  const desk = createCleanupDesk(() => store as never, settings, clock)
  expect(await desk.run()).toMatchObject({ inbox: 4000 })
})
