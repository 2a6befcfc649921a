import { Broken, type Invariant } from './broken.ts'
import { lockOf, nameOf, type StoredRow } from './tables.ts'
import type { World } from './world.ts'

const rounds = 4000

/** Ends all writers and all faults, lets everything succeed, and waits, in rounds, for quiet. */
export function heal(world: World): void {
  const { database, broker, coverage, run } = world
  database.inRecovery = false
  broker.down.clear()
  while (database.tables.open.some((each) => !each.isPrepared)) world.commit(0)
  for (let i = 0; database.tables.open.length > 0; i++) world.finishPrepared(0, i % 2 === 0)
  while (broker.straggling.length > 0 || world.stragglers.length > 0) world.straggle(0)

  // What fails for itself still does; nothing else may wait for it.
  if (run.isRetryFar && broker.poison.size > 0) {
    const failing = [...database.tables.rows.values()].filter((row) => isFailing(world, row))
    const others = (): StoredRow[] => [...database.tables.rows.values()].filter((row) => !isBeside(world, row, failing))
    const hadOthers = others().length > 0
    const until = world.clock.now + 30_000
    settle(world, 'a failing message does not stop others', until, () => others().length === 0)
    if (hadOthers && failing.some((row) => database.tables.rows.has(nameOf(row)))) {
      coverage.saw('others went on beside a failing message')
    }
  }
  broker.poison.clear()
  settle(world, 'no key is closed and no partition stuck for ever', Infinity, () => {
    const { rows, lines } = database.tables
    return rows.size === 0 && lines.size === 0
  })
  for (let i = 0; i < 3; i++) {
    settle(world, 'memory returns to nothing', Infinity, () => world.relays.every((relay) => relay.mind.isIdle))
  }
  for (const { mind } of world.relays) {
    if (mind.inMemory !== 0) throw new Broken('memory returns to nothing', `${mind.inMemory} rows`)
  }
}

function isFailing(world: World, row: StoredRow): boolean {
  return world.broker.poison.has(row.id) || world.database.tables.lines.has(nameOf(row))
}

function isBeside(world: World, row: StoredRow, failing: readonly StoredRow[]): boolean {
  if (isFailing(world, row)) return true
  if (row.key === null) return false
  const name = lockOf(row.channel, row.key)
  return failing.some((each) => each.key !== null && lockOf(each.channel, each.key) === name)
}

function settle(world: World, invariant: Invariant, until: number, isDone: () => boolean): void {
  const { clock, database, relays } = world
  for (let round = 0; !isDone(); round++) {
    if (round >= rounds || clock.now > until) {
      const names = [...database.tables.rows.values()].map((row) => `${nameOf(row)} of ${row.channel} ${row.key ?? ''}`)
      throw new Broken(invariant, `after ${round} rounds there is still ${names.join(', ')}`)
    }
    let isQuiet = true
    for (const relay of relays) {
      relay.renew()
      relay.claim(Math.ceil(world.run.partitions / relays.length))
      for (const operation of [...relay.operations]) {
        if (operation.kind !== 'read' && operation.kind !== 'renew' && operation.kind !== 'claim') isQuiet = false
        world.finish(relay, operation)
      }
    }
    if (isQuiet) world.advance(pause(world))
  }
}

/** To the next moment a mind asks for; further, where all that is left waits for its retry. */
function pause(world: World): number {
  const { clock, database, relays } = world
  const next = Math.min(...relays.map((relay) => relay.mind.nextDecisionAt()), clock.now + 1000)
  const { rows, lines } = database.tables
  const left = [...rows.values()]
  const isAllHeld = lines.size > 0 && left.every((row) => [...lines.values()].some((line) => line.key === row.key))
  const due = isAllHeld ? Math.min(...[...lines.values()].map((line) => line.retryAt)) : 0
  const quiet = relays.every((relay) => relay.mind.inMemory === 0)
  return Math.max(1, next - clock.now, quiet ? due - clock.now : 0)
}
