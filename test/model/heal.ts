import { lineage } from './fenced-log.ts'
import { Broken, type Invariant } from './broken.ts'
import type { SimulatedRelay } from './relay.ts'
import { lockOf, nameOf, type StoredLine, type StoredRow } from './tables.ts'
import type { World } from './world.ts'

const rounds = 4000

/** Of a message whose channel allows three. */
const manyTries = 30

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
    const others = (): StoredRow[] => {
      const isFailing = failing(world)
      return [...database.tables.rows.values()].filter((row) => !isFailing(row))
    }
    const hadOthers = others().length > 0
    settle(
      world,
      'a failing message does not stop others',
      world.clock.now + 30_000,
      () => others().length === 0,
    )
    if (hadOthers && database.tables.rows.size > 0) coverage.saw('others went on beside a failing message')
  }
  // What is refused each time comes to its last attempt, and is dead then or waits for an operator.
  if (!run.isRetryFar) {
    // Of what closes its connection nobody can tell that it fails, where nothing else is confirmed any more.
    for (const [id, poison] of broker.poison) if (poison === 'breaker') broker.poison.delete(id)
    const stuck = 'no key is closed and no partition stuck for ever'
    settle(world, stuck, world.clock.now + 200_000, () => {
      const tried = [...database.tables.rows.values()].filter((row) => isTried(world, row))
      // Take-overs may cost a few more, and what is told exactly `judge` looks at.
      for (const { id } of tried) {
        const times = world.watch.refusals.get(id) ?? 0
        if (times > manyTries) throw new Broken('attempts never exceed their limit', `${id}: ${times}`)
      }
      return tried.length === 0
    })
  }
  broker.poison.clear()
  world.operator.clear()
  settle(world, 'no key is closed and no partition stuck for ever', Infinity, () => {
    const { rows, lines } = database.tables
    return rows.size === 0 && lines.size === 0
  })
  settle(world, 'memory returns to nothing', Infinity, () =>
    world.relays.every(({ mind }) => mind.isIdle && mind.inMemory === 0),
  )
  rest(world)
}

/** Ten seconds without work: polls that back off, and no loop that never sleeps (O3, P8). */
function rest(world: World): void {
  const { clock, relays, database } = world
  let until = clock.now + 10_000
  let visits = 0
  for (let round = 0; clock.now < until; round++) {
    if (database.failovers > 0) accept(world)
    // Only now found to be stopped: it looks whether an operator has been there.
    if (relays.some(({ mind }) => mind.stopped.length > 0)) {
      if ((visits += 1) > rounds)
        throw new Broken('a relay with nothing to do rests', 'it is stopped for ever')
      until = clock.now + 10_000
      round = 0
    }
    if (round > 80) throw new Broken('a relay with nothing to do rests', `${round} polls in ten seconds`)
    for (const relay of relays) {
      keepLeases(world, relay)
      for (const operation of [...relay.operations]) world.finish(relay, operation)
    }
    world.advance(pause(world, until))
  }
}

/** It fails each time, and no head of its key waits for an operator, itself or another. */
function isTried({ broker, database }: World, { id, channel, key }: StoredRow): boolean {
  if (broker.poison.get(id) !== 'reject') return false
  const isBlocked = (line: StoredLine): boolean =>
    line.state === 'blocked' && (line.id === id || (line.channel === channel && line.key === key))
  return ![...database.tables.lines.values()].some(isBlocked)
}

/** Tells rows that fail for themselves, now, and what their key keeps waiting. */
function failing(world: World): (row: StoredRow) => boolean {
  const { broker, database } = world
  const lines = [...database.tables.lines.values()]
  const poisoned = [...database.tables.rows.values()].filter((row) => broker.poison.has(row.id))
  const names = new Set([...lines, ...poisoned].map(nameOf))
  const keys = new Set(
    [...lines, ...poisoned].flatMap(({ channel, key }) => (key === null ? [] : [lockOf(channel, key)])),
  )
  return (row) => names.has(nameOf(row)) || (row.key !== null && keys.has(lockOf(row.channel, row.key)))
}

function settle(world: World, invariant: Invariant, until: number, isDone: () => boolean): void {
  const { clock, database, relays } = world
  for (let round = 0; !isDone(); round++) {
    if (round >= rounds || clock.now > until) {
      const names = [...database.tables.rows.values()].map(
        (row) => `${nameOf(row)} of ${row.channel} ${row.key ?? ''}`,
      )
      throw new Broken(invariant, `after ${round} rounds there is still ${names.join(', ')}`)
    }
    if (database.failovers > 0) accept(world)
    // A refusal may have been under way, and block or park its key once more.
    if (until === Infinity) world.operator.clear()
    let isQuiet = true
    for (const relay of relays) {
      keepLeases(world, relay)
      for (const operation of [...relay.operations]) {
        if (operation.kind !== 'read') isQuiet = false
        world.finish(relay, operation)
      }
    }
    if (isQuiet) world.advance(Math.max(1, pause(world, until)))
  }
}

/**
 * What an operator does after a fail-over: deletes what the log has already, and tells the database what that had last, in an
 * epoch that is newer.
 */
function accept({ database, broker, relays, options }: World): void {
  const arrived = new Set(broker.arrivals.map(({ id }) => id))
  for (const { partition } of relays.flatMap(({ mind }) => mind.stopped)) {
    const last = broker.fenced.last(partition)
    if (last === null) continue
    for (const [name, row] of database.tables.rows) {
      const isFenced = options.channels.get(row.channel)!.form === 'fence'
      if (isFenced && row.partition === partition && arrived.has(row.id)) database.tables.rows.delete(name)
    }
    database.tables.fenced.set(partition, { number: last.number, lineage })
    const lease = database.tables.leases.get(partition)!
    if (last.epoch > lease.epoch)
      database.tables.leases.set(partition, { owner: null, until: 0, epoch: last.epoch })
  }
}

function keepLeases(world: World, relay: SimulatedRelay): void {
  const end = (): void => {
    for (const each of [...relay.operations]) {
      if (each.kind === 'renew' || each.kind === 'claim') world.finish(relay, each)
    }
  }
  end()
  relay.renew()
  end()
  relay.claim(Math.ceil(world.run.partitions / world.relays.length))
  end()
}

/** To the next moment a mind asks for; further, where all that is left waits for its retry. */
function pause(world: World, until: number): number {
  const { clock, database, relays } = world
  const next = Math.min(...relays.map((relay) => relay.mind.nextDecisionAt()), clock.now + 1000)
  const isQuiet = relays.every((relay) => relay.mind.inMemory === 0)
  const isWaiting = until === Infinity && isQuiet && [...database.tables.rows.values()].every(failing(world))
  const due = isWaiting ? Math.min(...[...database.tables.lines.values()].map((line) => line.retryAt)) : 0
  return Math.max(0, next - clock.now, Number.isFinite(due) ? due - clock.now : 0)
}
