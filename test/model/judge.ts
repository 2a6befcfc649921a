import { Broken } from './broken.ts'
import { lockOf } from './tables.ts'
import type { World } from './world.ts'

/** After the healing: what arrived against what was committed. */
export function judge(world: World): void {
  checkExpiries(world)
  checkFollowers(world)
  const { broker, database, settledElsewhere, options, watch, watchTakes, operator } = world
  const copies = new Map<string, number>()
  const firsts = new Map<string, string[]>()
  for (const { id, channel, key } of broker.arrivals) {
    const before = copies.get(id) ?? 0
    copies.set(id, before + 1)
    if (!database.ledger.has(id)) throw new Broken('nothing of a rolled back transaction is handed on', id)
    if (before > 0 || key === null) continue
    const name = lockOf(channel, key)
    const ids = firsts.get(name)
    if (ids === undefined) firsts.set(name, [id])
    else ids.push(id)
  }
  const unended = new Set([...database.tables.taken.values()].flat().map((row) => row.id))
  const buried = new Set([...database.tables.dead.values()].map((row) => row.id))
  for (const [id, { row }] of database.ledger) {
    const count = copies.get(id) ?? 0
    const isLost = database.everLost.has(id) || unended.has(id)
    const isAccounted =
      count > 0 ||
      buried.has(id) ||
      database.lost.has(id) ||
      settledElsewhere.has(id) ||
      isLost ||
      database.expiries.has(id) ||
      database.everPurged.has(id)
    if (!isAccounted)
      throw new Broken('every committed row is handed on', `${id} of ${row.channel} ${row.key ?? ''}`)
    const { form } = options.channels.get(row.channel)!
    // A letter that was replayed before the relay could take it back is sent again.
    const isAgain = operator.skipped.has(id) && watch.restarts.has(id)
    if (form === 'fence' && count > 1 && database.failovers === 0 && !isAgain)
      throw new Broken('exactly once: a message is in the log once', `${count} copies of ${id}`)
    const isOnce = form === 'take'
    // A standby that had not heard of the delete brings the row back.
    if (isOnce && count > 1 && database.failovers === 0)
      throw new Broken('at most once: nothing is sent twice', `${count} copies of ${id}`)
    const allowed =
      form === 'confirm' || operator.skipped.has(id)
        ? allowedCopies(world, id, row.partition)
        : 1 + database.failovers
    if (count > allowed)
      throw new Broken('nothing twice without a fault', `${count} copies of ${id}, ${allowed} allowed`)
    if (form === 'confirm') checkAttempts(world, id, row.partition)
  }
  checkSkips(world)
  checkDisorder(world)
  for (const [name, ids] of firsts) {
    let last = 0
    for (const id of ids) {
      // Only at most once: what left late was another's turn, and what was taken comes back after a fail-over.
      if (watchTakes.late.has(id)) continue
      if (database.failovers > 0 && database.everTakenIds.has(id)) continue
      if (database.everSkipped.has(id) || database.lost.has(id) || settledElsewhere.has(id)) continue
      // Sent before, with an unknown outcome, they may arrive while what follows them is on its way.
      if (database.expiries.has(id) || database.everPurged.has(id)) continue
      const { order } = database.ledger.get(id)!
      if (order < last)
        throw new Broken('first occurrences of a key are in commit order', `${id} of ${name} is late`)
      last = order
    }
  }
  world.watchZombies.judge()
}

/**
 * All writers here hold their key's lock: the counter that accuses them has to stay 0. A take-over may raise it: a row that
 * was handed on and not deleted comes again, perhaps below one of its key that waits.
 */
function checkDisorder({ database, relays, operator }: World): void {
  const takeOvers = Math.max(...database.claims.values()) - 1
  if (database.failovers > 0 || operator.oldNumbers > 0 || takeOvers > 0) return
  for (const relay of relays) {
    for (const { disorder } of [...relay.past, relay.mind.counters]) {
      if (disorder > 0) throw new Broken('no writer is accused of disorder without cause', `${disorder} rows`)
    }
  }
}

/** Exactly once tells for certain what arrived. */
function checkSkips({ broker, database, options, watch }: World): void {
  if (database.failovers > 0) return
  const arrived = new Set(broker.arrivals.map(({ id }) => id))
  for (const { id, channel, isSkipped } of database.tables.dead.values()) {
    const isFenced = options.channels.get(channel)!.form === 'fence'
    if (isSkipped && isFenced && arrived.has(id) && !watch.restarts.has(id))
      throw new Broken('what a skip gave up is delivered or dead', id)
  }
}

function checkExpiries({ database }: World): void {
  if (database.failovers > 0) return
  for (const [id, times] of database.expiries)
    if (times > 1) throw new Broken('what expired is counted once', `${id}: ${times} times`)
}

/** All lines are gone by now: so are the followers that lay beside a parked head. */
function checkFollowers({ database }: World): void {
  for (const row of database.tables.dead.values())
    if (row.isFollower) throw new Broken('a follower lies beside a parked head', row.id)
}

/** One, and one for each fault that the row met. */
function allowedCopies(world: World, id: string, partition: number): number {
  const { database, watch, relays } = world
  const failovers = database.failovers * relays.length
  return (
    1 +
    (watch.unknowns.get(id) ?? 0) +
    (watch.restarts.get(id) ?? 0) +
    takeOvers(world, partition) +
    failovers
  )
}

function checkAttempts(world: World, id: string, partition: number): void {
  const { database, watch, options } = world
  if (
    database.failovers > 0 ||
    watch.restarts.has(id) ||
    world.coverage.counts.has('statement took effect after its time-out')
  )
    return
  const { maxAttempts } = [...options.channels.values()][0]!
  const refusals = watch.refusals.get(id) ?? 0
  if (refusals > maxAttempts + takeOvers(world, partition)) {
    throw new Broken('attempts never exceed their limit', `${id} was refused ${refusals} times`)
  }
}

/** Also those before the row was written: who lost the partition then may not know it yet. */
function takeOvers(world: World, partition: number): number {
  return Math.max((world.database.claims.get(partition) ?? 0) - 1, 0)
}
