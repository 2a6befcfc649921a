import type { Random } from '../../src/kernel/clock.ts'
import type { ChannelRules, MindOptions } from '../../src/relay/mind/types.ts'
import { Broker, type Poison } from './broker.ts'
import type { Coverage } from './coverage.ts'
import { Database, type DatabaseFlaws } from './database.ts'
import type { LogFlaws } from './fenced-log.ts'
import { type Operation, type Seams, SimulatedRelay } from './relay.ts'
import { Operator } from './operator.ts'
import type { Run, Step } from './steps.ts'
import { WatchPoison } from './watch-poison.ts'
import { WatchTakes } from './watch-takes.ts'
import { WatchZombies } from './watch-zombies.ts'
import { Watch } from './watch.ts'

export interface Mutant {
  readonly seams?: Seams
  readonly flaws?: DatabaseFlaws & LogFlaws
  readonly options?: Partial<MindOptions>
}

const leaseMs = 5000
const fencing = ['takeOver', 'publishFenced', 'removeFenced'] as const
/** Calls whose caller may have given up on them before they have their effect. */
const writing = ['block', 'bury', 'move', 'lose'] as const
const straggles = new Set<Operation['kind']>(['remove', 'take', 'endTaken', ...writing, ...fencing])
const delays = [-50, 3, 3, 20, 100, 400, 2000, 8000]
const skews = [0, 0, 30, -30, 500, -500, 5000]
const ticks = [1, 1, 5, 20, 20, 60, 100, 400, 1500, 6000]

/** Everything around the minds, moved by the steps of a schedule and by nothing else. */
export class World {
  readonly run: Run
  readonly database: Database
  readonly broker: Broker
  readonly watch: Watch
  readonly watchTakes: WatchTakes
  readonly watchZombies: WatchZombies
  readonly coverage: Coverage
  readonly options: MindOptions
  readonly relays: SimulatedRelay[] = []
  readonly clock: { now: number } = { now: 1000 }
  readonly stragglers: (() => void)[] = []
  readonly settledElsewhere: Set<string> = new Set()
  readonly operator: Operator

  constructor(run: Run, coverage: Coverage, mutant: Mutant = {}) {
    this.run = run
    this.coverage = coverage
    this.options = { ...optionsOf(run), ...mutant.options }
    this.database = new Database(run.partitions, mutant.flaws)
    this.broker = new Broker(coverage, mutant.flaws)
    this.watch = new Watch(this.database, this.options)
    this.watchTakes = new WatchTakes(this.database, this.options)
    this.watchZombies = new WatchZombies(this.database)
    const watchPoison = new WatchPoison(this.database, this.options, this.clock)
    const { database, broker, watch, watchTakes, watchZombies, options, clock } = this
    this.operator = new Operator(this)
    const around = {
      database,
      broker,
      watch,
      watchTakes,
      watchPoison,
      watchZombies,
      coverage,
      options,
      clock,
      leaseMs,
      seams: mutant.seams ?? {},
    }
    for (let i = 0; i < run.relays; i++) {
      this.relays.push(new SimulatedRelay(`relay${i}`, around))
    }
  }

  play(): void {
    for (const step of this.run.steps) this.#step(step)
  }

  advance(ms: number): void {
    this.clock.now += ms
    for (const relay of this.relays) relay.tick()
  }

  /** Lets a call have its effect where it has none yet, and tells its caller how it ended. */
  finish(relay: SimulatedRelay, operation: Operation): void {
    if (!operation.hasEffect && !this.#affect(relay, operation, 0)) return
    relay.take(operation)
    operation.answer()
    relay.pump()
  }

  commit(pickAt: number): void {
    const open = this.database.tables.open.filter((each) => !each.isPrepared)
    const writer = open[pickAt % Math.max(open.length, 1)]
    if (writer === undefined) return
    if (writer.xid < this.database.tables.latestCompleted - 6n)
      this.coverage.saw('long or prepared transaction ended')
    this.database.commit(writer)
  }

  finishPrepared(pickAt: number, commits: boolean): void {
    const prepared = this.database.tables.open.filter((each) => each.isPrepared)
    const writer = prepared[pickAt % Math.max(prepared.length, 1)]
    if (writer === undefined) return
    this.coverage.saw('long or prepared transaction ended')
    if (commits) this.database.commit(writer)
    else this.database.rollBack(writer)
  }

  #step({ do: name, a, b }: Step): void {
    const { database, broker, coverage, run } = this
    const relay = this.relays[a % this.relays.length]!
    switch (name) {
      case 'insert':
        this.#insert(a, b)
        break
      case 'commit':
        this.commit(a)
        break
      case 'rollBack': {
        const writer = database.tables.open.find((each) => !each.isPrepared)
        if (writer === undefined) break
        coverage.saw('rolled back', writer.rows.length)
        database.rollBack(writer)
        break
      }
      case 'prepare': {
        const writer = database.tables.open.find((each) => !each.isPrepared)
        if (writer !== undefined && !database.inRecovery) writer.isPrepared = true
        break
      }
      case 'finishPrepared':
        if (!database.inRecovery) this.finishPrepared(a, b % 3 !== 0)
        break
      case 'progress':
        this.#progress(relay, a >> 1, b)
        break
      case 'run':
        for (let i = 0; i < 1 + (b % 6); i++) {
          const next = relay.operations.find((each) => !this.#isSlow(each))
          if (next !== undefined) this.finish(relay, next)
        }
        break
      case 'tick':
        this.advance(ticks[a % ticks.length]!)
        break
      case 'claim':
        relay.claim(1 + (b % run.partitions))
        break
      case 'renew':
        relay.renew()
        break
      case 'wake':
        relay.mind.wake()
        relay.pump()
        break
      case 'steal':
        if (!run.allows.takeOver) break
        if (relay.mind.held.length > 0) coverage.saw('taken over early')
        database.free(relay.session, null)
        relay.isSessionLost = true
        break
      case 'drain':
        relay.mind.drain([b % run.partitions])
        relay.pump()
        break
      case 'kill':
        if (run.allows.takeOver) relay.kill(b)
        break
      case 'unblock':
        if (!database.inRecovery) this.operator.unblock(b)
        break
      case 'skipHead':
        if (!database.inRecovery) this.operator.skipHead(b)
        break
      case 'replay':
        if (!database.inRecovery) this.operator.replay(b)
        break
      case 'replayKey':
        if (!database.inRecovery) this.operator.replayKey(b)
        break
      case 'purgeKey':
        if (!database.inRecovery) this.operator.purgeKey(b)
        break
      case 'settleElsewhere': {
        const held = [...database.tables.lines.keys()][b % Math.max(database.tables.lines.size, 1)]
        if (held === undefined || database.inRecovery) break
        const row = database.settleElsewhere(held)
        if (row === null) break
        coverage.saw('settled elsewhere')
        this.settledElsewhere.add(row.id)
        break
      }
      case 'setClock': {
        const skew = skews[a % skews.length]!
        if (skew < database.skew) coverage.saw('clock of the database put back')
        database.setSkew(skew)
        break
      }
      case 'replicate':
        database.replicate()
        break
      case 'failOver':
        if (run.allows.failOver) this.#failOver(b)
        break
      case 'promote':
        database.inRecovery = false
        break
      case 'channelDown':
        if (run.allows.outage)
          broker.down.add([...this.options.channels.keys()][b % this.options.channels.size]!)
        break
      case 'channelUp':
        broker.down.clear()
        break
      case 'straggle':
        this.straggle(b)
        break
    }
  }

  straggle(pickAt: number): void {
    this.broker.straggle(pickAt)
    if (this.stragglers.length > 0) this.stragglers.splice(pickAt % this.stragglers.length, 1)[0]!()
  }

  #insert(a: number, b: number): void {
    const { database, run } = this
    if (database.inRecovery) return
    const open = database.tables.open.filter((each) => !each.isPrepared)
    const writer = open[a % 5] ?? (open.length < 4 ? database.begin() : open[0]!)
    const channel = ['orders', 'orders', 'orders', 'bills', 'views', 'views'][b % 6]!
    const number = (b >> 3) % 3
    const isOrdered = channel !== 'views'
    const partition = (number + (channel === 'bills' ? 1 : 0)) % run.partitions
    const key = isOrdered ? `k${number}` : null
    const notBefore =
      isOrdered || a % 3 > 0 ? null : this.clock.now + database.skew + delays[b % delays.length]!
    const createdAt = this.clock.now + database.skew
    const row = database.insert(writer, partition, channel, key, isOrdered, { notBefore, createdAt })
    const poisons: readonly Poison[] = ['reject', 'fatal', 'breaker', 'fatal', 'fatal', 'reject']
    const poison = poisons[(a >> 4) % 32]
    if (row !== null && poison !== undefined && run.allows.poison) this.broker.poison.set(row.id, poison)
  }

  #failOver(b: number): void {
    const { database, coverage } = this
    if (database.failovers >= 3) return
    const lostBefore = database.lost.size
    const before = new Set(database.tables.rows.keys())
    database.failOver(b % 3 === 0)
    if (database.lost.size > lostBefore) coverage.saw('fail-over lost commits')
    for (const name of database.tables.rows.keys())
      if (!before.has(name)) coverage.saw('fail-over brought rows back')
    this.stragglers.length = 0
    // Where the leases had been replicated a relay may keep them, through a proxy say, and its memory with them.
    this.relays.forEach((relay, i) => {
      if ((b >> (i + 2)) % 2 === 0) relay.isSessionLost = true
    })
  }

  #progress(relay: SimulatedRelay, a: number, b: number): void {
    const operation = relay.operations[a % Math.max(relay.operations.length, 1)]
    if (operation === undefined) return
    // A move is rare: its failures would not be seen in every search.
    const fails = operation.kind === 'move' ? b % 2 === 1 : b % 10 === 9 && operation.kind !== 'release'
    if (operation.hasEffect) {
      relay.take(operation)
      if (fails) this.#fail(operation, 'after')
      else operation.answer()
    } else if (fails) {
      relay.take(operation)
      this.#fail(operation, 'before')
      // Its caller's time-out did not stop it.
      const { kind } = operation
      if (b % 20 === 19 && straggles.has(kind)) {
        this.stragglers.push(() => {
          this.coverage.saw('statement took effect after its time-out')
          this.database.lateEffects += 1
          operation.effect(0)
        })
      }
    } else if (!this.#affect(relay, operation, b % 3 === 0 ? Math.floor(b / 3) : 0)) return
    relay.pump()
  }

  #isSlow({ kind }: Operation): boolean {
    const { slow } = this.run
    if (slow === 'fence') return fencing.some((each) => each === kind)
    return slow === 'write' ? writing.some((each) => each === kind) : kind === slow
  }

  /** False where the call has failed: a standby takes no writes. */
  #affect(relay: SimulatedRelay, operation: Operation, how: number): boolean {
    const needsPrimary = !['read', 'send', 'dispatch', 'takeOver', 'publishFenced'].includes(operation.kind)
    if (needsPrimary && this.database.inRecovery) {
      relay.take(operation)
      operation.fail()
      relay.pump()
      return false
    }
    operation.hasEffect = true
    operation.effect(how)
    return true
  }

  #fail(operation: Operation, when: 'before' | 'after'): void {
    if (operation.kind === 'remove') this.coverage.saw(`delete failed ${when} its effect`)
    if (operation.kind === 'removeFenced') this.coverage.saw(`fenced delete failed ${when} its effect`)
    if (operation.kind === 'take') this.coverage.saw(`take failed ${when} its effect`)
    if (operation.kind === 'block' || operation.kind === 'bury')
      this.coverage.saw(`line write failed ${when} its effect`)
    if (operation.kind === 'move') this.coverage.saw(`move failed ${when} its effect`)
    operation.fail()
  }
}

function optionsOf(run: Run): MindOptions {
  const retry = run.isRetryFar ? { initialMs: 40_000, maxMs: 40_000 } : { initialMs: 50, maxMs: 400 }
  const { forms, policies, expiresAfterMs } = run
  const rules = { maxAttempts: 3, retry, ...(expiresAfterMs === null ? {} : { expiresAfterMs }) }
  return {
    channels: new Map<string, ChannelRules>([
      ['orders', { ...rules, form: forms.orders, ordered: true, onPoison: policies.orders }],
      ['bills', { ...rules, form: forms.bills, ordered: true, onPoison: policies.bills }],
      ['views', { ...rules, form: forms.views, ordered: false }],
    ]),
    ordersBatch: run.ordersBatch,
    batchSize: 4,
    readLimit: 3,
    lookLimit: 8,
    lateLimit: 2,
    maxInFlight: 12,
    maxInFlightBytes: 1_000_000,
    maxKeyBacklog: 3,
    maxSends: 4,
    removeLimit: 4,
    sendTimeoutMs: 400,
    poll: { initialMs: 5, maxMs: 1000 },
    hold: { initialMs: 50, maxMs: 400 },
    random: randomOf(run.luck),
  }
}

/** A linear congruential generator (Numerical Recipes): deterministic chance. */
function randomOf(seed: number): Random {
  let state = seed >>> 0
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
}
