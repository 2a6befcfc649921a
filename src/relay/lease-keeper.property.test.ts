import fc from 'fast-check'
import { expect, it } from 'vitest'
import { VirtualClock } from '../../test/fakes/clock.ts'
import { FakeLane } from '../../test/fakes/lane.ts'
import { FakeRelay } from '../../test/fakes/relay.ts'

const leaseMs = 1000

const step = fc.record({
  do: fc.constantFrom('join', 'join', 'join', 'leave', 'kill', 'freeze'),
  which: fc.nat(),
  /** Before the next step: often while the last one is still being worked off. */
  afterMs: fc.integer({ min: 0, max: 3 * leaseMs }),
})

const run = fc.record({
  partitions: fc.integer({ min: 1, max: 24 }),
  steps: fc.array(step, { minLength: 1, maxLength: 12 }),
  /** How long an answer of the database takes, and how long a partition takes to drain; in turn. */
  latencies: fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 5 }),
  drains: fc.array(fc.integer({ min: 0, max: leaseMs / 4 }), { minLength: 1, maxLength: 5 }),
})

function inTurn(values: readonly number[]): () => number {
  let i = 0
  return () => values[i++ % values.length]!
}

interface Member {
  readonly relay: FakeRelay
  readonly kill: () => void
}

function join(lane: FakeLane, drainMs: () => number): Member {
  let loseSession = (): void => {}
  const relay = new FakeRelay({
    lane: { transport: 'fake', consumer: '' },
    leaseMs,
    clock: lane.clock,
    drainMs,
    open: async (isFrozen) => {
      const { session, kill } = lane.join({ isFrozen })
      loseSession = kill
      return session
    },
  })
  const kill = (): void => {
    relay.freeze()
    loseSession()
  }
  return { relay, kill }
}

it('shares every partition out, with a difference of one at most, within two leases of the last join, leave, kill or stop', async () => {
  const seen = { uneven: 0, kills: 0, freezes: 0, leaves: 0, most: 0 }
  await fc.assert(
    fc.asyncProperty(run, async ({ partitions, steps, latencies, drains }) => {
      const clock = new VirtualClock()
      const lane = new FakeLane({ clock, leaseMs, partitions, latencyMs: inTurn(latencies) })
      const members = [join(lane, inTurn(drains))]
      for (const { do: what, which, afterMs } of steps) {
        const member = members[which % members.length]!
        if (what === 'join' || members.length === 1) members.push(join(lane, inTurn(drains)))
        else {
          members.splice(members.indexOf(member), 1)
          if (what === 'leave') {
            seen.leaves += 1
            await member.relay.stop()
          } else if (what === 'kill') {
            seen.kills += 1
            member.kill()
          } else {
            seen.freezes += 1
            member.relay.freeze()
          }
        }
        await clock.sleep(afterMs)
      }
      await clock.sleep(2 * leaseMs)

      const relays = members.map(({ relay }) => relay)
      const shares = [...lane.holdings().values()]
      const lacking = relays.length - shares.length
      const all = [...shares, ...Array.from({ length: lacking }, () => 0)]
      expect(all.reduce((sum, share) => sum + share, 0)).toBe(partitions)
      expect(Math.max(...all) - Math.min(...all)).toBeLessThanOrEqual(1)
      // What each believes to hold is what the lane says, and nobody else's.
      const believed = relays.flatMap(({ held }) => held.map(({ partition }) => partition))
      expect(believed.toSorted((a, b) => a - b)).toEqual([...lane.places.keys()])
      if (partitions % relays.length > 0) seen.uneven += 1
      seen.most = Math.max(seen.most, relays.length)
      for (const relay of relays) await relay.stop()
    }),
    { numRuns: 150 },
  )
  expect(seen.uneven).toBeGreaterThan(20)
  expect(Math.min(seen.kills, seen.freezes, seen.leaves)).toBeGreaterThan(20)
  expect(seen.most).toBeGreaterThanOrEqual(5)
})

it('lets peers have what a relay gives back while it still drains the rest', async () => {
  const clock = new VirtualClock()
  const lane = new FakeLane({ clock, leaseMs, partitions: 8, latencyMs: () => 1 })
  // Four are handed over first; the last of the other four takes long to drain.
  const leaving = join(lane, inTurn([0, 0, 0, 0, 0, 0, 0, 5 * leaseMs])).relay
  await clock.sleep(leaseMs)
  const staying = join(lane, () => 0).relay
  await clock.sleep(6 * leaseMs)
  expect([leaving.held.length, staying.held.length]).toEqual([4, 4])
  const stopped = leaving.stop()
  await clock.sleep(2 * leaseMs)
  expect([leaving.held.length, staying.held.length]).toEqual([1, 7])
  await stopped
  await clock.sleep(leaseMs)
  expect(staying.held).toHaveLength(8)
  await staying.stop()
})
