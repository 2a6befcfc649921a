import type { LeasedPartition } from '../../src/ports/lane.ts'
import type { FollowerOutcome, NewsRequest, ReadRequest, ReadResult } from '../../src/ports/outbox.ts'
import type { Fate, FencedOutcome, TakenOver } from '../../src/ports/transport.ts'
import { RelayMind } from '../../src/relay/mind/mind.ts'
import type { Command, MindCounters, MindOptions } from '../../src/relay/mind/types.ts'
import { Broken } from './broken.ts'
import type { Broker } from './broker.ts'
import type { Coverage } from './coverage.ts'
import type { Database } from './database.ts'
import { read, readNews } from './reading.ts'
import { carryOut, countWrite, rowsOf, type WriteCommand } from './relay-writes.ts'
import { nameOf } from './tables.ts'
import { RelayFences } from './relay-fences.ts'
import { RelayTakes } from './relay-takes.ts'
import type { WatchTakes } from './watch-takes.ts'
import type { WatchPoison } from './watch-poison.ts'
import type { WatchZombies } from './watch-zombies.ts'
import type { Watch } from './watch.ts'

/** Where a mutant reaches in, between the mind and its hands. */
export interface Seams {
  /** State of the mutant, one for each relay. */
  readonly tap?: () => {
    request?(request: ReadRequest, isFirst: boolean): ReadRequest
    news?(request: NewsRequest): NewsRequest
    result?(result: ReadResult): ReadResult
    fate?(fate: Fate): Fate
    /** Of one send. */
    fates?(fates: readonly Fate[]): readonly Fate[]
    outcome?(outcome: FencedOutcome): FencedOutcome
    found?(found: TakenOver, partition: number, database: Database): TakenOver
  }
  readonly takesFailedReadForEmpty?: boolean
  /** Acknowledged when it is issued; its effect comes later. */
  readonly awaitsNot?: 'remove' | 'block' | 'take' | 'removeFenced'
  /** Deletes what it is about to send. */
  readonly removesBeforeSend?: boolean
  /** Sends again what was sent once and not answered for. */
  readonly dispatchesAgain?: boolean
}

export interface Surroundings {
  readonly database: Database
  readonly broker: Broker
  readonly watch: Watch
  readonly watchTakes: WatchTakes
  readonly watchPoison: WatchPoison
  readonly watchZombies: WatchZombies
  readonly coverage: Coverage
  readonly options: MindOptions
  readonly leaseMs: number
  readonly seams: Seams
  readonly clock: { now: number }
}

/** A call under way. Its effect and its answer are two moments, and anything may happen between. */
export interface Operation {
  readonly kind: Command['type'] | 'claim' | 'renew'
  hasEffect: boolean
  effect(how: number): void
  answer(): void
  fail(): void
}

const silence: Fate = { outcome: 'unknown', code: 'NO_ANSWER', reason: 'no answer' }

/** One mind and the I/O around it, as the relay's driver and lease keeper do it. */
export class SimulatedRelay {
  readonly #around: Surroundings
  readonly #name: string
  #sessions = 0
  readonly #gains = new Map<number, number>()
  #reads = 0
  readonly #takes: RelayTakes
  readonly fences: RelayFences
  tap: ReturnType<NonNullable<Seams['tap']>>
  mind: RelayMind
  session: string
  operations: Operation[] = []
  /** The server, or the network, has ended the lease session; the next call of it says so. */
  isSessionLost = false
  /** What the minds that were killed had counted. */
  readonly past: Readonly<MindCounters>[] = []

  constructor(name: string, around: Surroundings) {
    this.#around = around
    this.#name = name
    this.mind = new RelayMind(around.options)
    this.session = `${name}.0`
    this.tap = around.seams.tap?.() ?? {}
    this.#takes = new RelayTakes(this, around)
    this.fences = new RelayFences(this, around)
  }

  /** Names what remembers: a mind ends with its process, and not with a session. */
  get mindName(): string {
    return `${this.#name}.${this.past.length}`
  }

  pump(): void {
    for (const command of this.mind.decide(this.#around.clock.now)) this.#start(command)
  }

  /** Only when the mind asked for it: a time it does not name is a stall. */
  tick(): void {
    if (this.#around.clock.now >= this.mind.nextDecisionAt()) this.pump()
  }

  take(operation: Operation): void {
    this.operations.splice(this.operations.indexOf(operation), 1)
  }

  claim(most: number): void {
    const { database, clock, coverage, leaseMs, watchZombies } = this.#around
    const asked = clock.now
    let gained: LeasedPartition[] = []
    this.#lease(
      'claim',
      () => {
        const lost = database.everLost.size
        gained = database.claim(this.session, most, clock.now, leaseMs)
        watchZombies.claims(this.mindName, gained)
        coverage.saw('possibly lost, counted at a claim', database.everLost.size - lost)
      },
      () => this.#gain(gained, asked + leaseMs),
    )
  }

  renew(): void {
    const { database, clock, leaseMs } = this.#around
    const asked = clock.now
    const held = this.mind.held
    let kept: LeasedPartition[] = []
    this.#lease(
      'renew',
      () => (kept = database.renew(this.session, held, clock.now, leaseMs)),
      () => {
        const before = this.mind.held.length
        this.mind.renewed(kept, asked + leaseMs)
        this.#around.coverage.saw('lease lost', before - this.mind.held.length)
      },
    )
  }

  loseSession(): void {
    this.#around.coverage.saw('lease lost', this.mind.held.length)
    this.mind.lostAll()
    this.#around.database.free(this.session, null)
    this.session = `${this.#name}.${(this.#sessions += 1)}`
    this.isSessionLost = false
  }

  /** SIGKILL and a new process: memory is gone; what was under way has its effect or not. */
  kill(how: number): void {
    const { coverage, options, database } = this.#around
    coverage.saw('relay killed')
    this.operations.forEach((operation, i) => {
      if (!operation.hasEffect && (how + i) % 2 === 0 && !database.inRecovery) operation.effect(9)
    })
    this.operations = []
    this.past.push({ ...this.mind.counters })
    this.mind = new RelayMind(options)
    this.#reads = 0
    this.fences.forget()
    this.tap = this.#around.seams.tap?.() ?? {}
    // Behind a pooler nobody sees the session end, and its leases run out by the clock.
    if (how % 3 !== 0) database.free(this.session, null)
    this.session = `${this.#name}.${(this.#sessions += 1)}`
    this.isSessionLost = false
  }

  #gain(gained: readonly LeasedPartition[], until: number): void {
    for (const { partition } of gained) this.#gains.set(partition, (this.#gains.get(partition) ?? 0) + 1)
    this.mind.gained(gained, until)
  }

  #leaseName(partition: number): string | null {
    if (!this.mind.held.some((each) => each.partition === partition)) return null
    return `${this.session}/${partition}/${this.#gains.get(partition) ?? 0}`
  }

  readonly #isOwner = (partition: number): boolean => {
    const held = this.mind.held.find((each) => each.partition === partition)
    return held?.epoch === this.#around.database.tables.leases.get(partition)?.epoch
  }

  #lease(kind: 'claim' | 'renew', effect: () => void, answer: () => void): void {
    // The keeper's calls are one after another.
    if (this.operations.some((each) => each.kind === 'claim' || each.kind === 'renew')) return
    const operation: Operation = {
      kind,
      hasEffect: false,
      effect: () => {
        if (!this.isSessionLost) effect()
      },
      answer: () => {
        if (this.isSessionLost) this.loseSession()
        else answer()
      },
      fail: () => this.loseSession(),
    }
    this.operations.push(operation)
  }

  #start(command: Command): void {
    const { database, coverage, watch, watchTakes, watchPoison } = this.#around
    switch (command.type) {
      case 'read':
        this.operations.push(this.#read(command))
        break
      case 'readNews':
        this.operations.push(this.#readNews(command))
        break
      case 'send':
        watchPoison.sends(command.rows, this.#isOwner)
        this.operations.push(this.#send(command))
        break
      case 'remove':
        this.operations.push(this.#remove(command))
        break
      case 'block':
      case 'bury':
        watch.writes((partition) => this.#leaseName(partition), command)
        this.operations.push(this.#write(command))
        break
      case 'move':
        this.operations.push(this.#write(command))
        break
      case 'lose':
        watchPoison.loses(command)
        this.operations.push(this.#write(command))
        break
      case 'take':
        watchTakes.takes(this.session, (partition) => this.#leaseName(partition), command)
        this.operations.push(this.#takes.take(this.session, command))
        break
      case 'dispatch':
        watchTakes.dispatches(this.session, command)
        this.operations.push(this.#takes.dispatch(this.session, command))
        break
      case 'endTaken':
        this.operations.push(this.#takes.endTaken(this.session, command))
        break
      case 'takeOver':
        this.operations.push(this.fences.takeOver(command))
        break
      case 'fencedState':
        this.operations.push(this.fences.askState(command))
        break
      case 'publishFenced':
        watchPoison.sends(command.rows, this.#isOwner)
        this.operations.push(this.fences.publish((partition) => this.#leaseName(partition), command))
        break
      case 'removeFenced':
        this.operations.push(this.fences.remove(command))
        break
      case 'releaseFenced':
        this.fences.release(command)
        break
      case 'fencingStopped':
        coverage.saw('exactly-once stopped')
        if (database.failovers === 0) {
          const { partition, reason } = command.stopped
          throw new Broken('exactly once: it never stops without a fail-over', `${partition}: ${reason}`)
        }
        break
      case 'release': {
        const { session } = this
        coverage.saw('drained', command.partitions.length)
        const effect = (): void => database.free(session, command.partitions)
        this.operations.push({ kind: 'release', hasEffect: false, effect, answer: nothing, fail: nothing })
        break
      }
      case 'fenced':
        coverage.saw('fenced', command.partitions.length)
        break
    }
  }

  #read({ read: number, request: asked }: Extract<Command, { type: 'read' }>): Operation {
    const { database, clock, coverage, seams } = this.#around
    const request = this.tap.request?.(asked, this.#reads === 0) ?? asked
    this.#reads += 1
    let result: ReadResult | null = null
    let lookedAt = 0
    return {
      kind: 'read',
      hasEffect: false,
      effect: () => {
        result = read(database, request, clock.now)
        lookedAt = clock.now
      },
      answer: () => {
        if (result === null) return
        database.longestReadMs = Math.max(database.longestReadMs, clock.now - lookedAt)
        this.#look(asked, result)
        this.mind.readReturned(number, this.tap.result?.(result) ?? result, clock.now)
      },
      fail: () => {
        coverage.saw('read failed')
        if (seams.takesFailedReadForEmpty === true) {
          result ??= read(database, { ...request, upperLimit: 0, lateLimit: 0 }, clock.now)
          this.mind.readReturned(number, { ...result, rows: [], orphans: [] }, clock.now)
        } else this.mind.readFailed(number, clock.now)
      },
    }
  }

  #readNews({ read: number, request: asked }: Extract<Command, { type: 'readNews' }>): Operation {
    const { database, clock, coverage } = this.#around
    const request = this.tap.news?.(asked) ?? asked
    let result: ReadResult | null = null
    let lookedAt = 0
    return {
      kind: 'read',
      hasEffect: false,
      effect: () => {
        result = readNews(database, request, clock.now)
        lookedAt = clock.now
      },
      answer: () => {
        database.longestReadMs = Math.max(database.longestReadMs, clock.now - lookedAt)
        if (result === null) coverage.saw('news told by a whole read only')
        else if (result.rows.length > 0) coverage.saw('news')
        const told = result === null ? null : (this.tap.result?.(result) ?? result)
        this.mind.readReturned(number, told, clock.now)
      },
      fail: () => {
        coverage.saw('read failed')
        this.mind.readFailed(number, clock.now)
      },
    }
  }

  #look(request: ReadRequest, result: ReadResult): void {
    const { coverage, options, database } = this.#around
    for (const row of result.rows) {
      const { notBefore = null } = database.tables.rows.get(nameOf(row)) ?? {}
      if (notBefore !== null && notBefore > database.latest)
        throw new Broken('nothing is handed on before its time', row.id)
      if (row.origin === 'delayed') coverage.saw('delay ended below the floor')
      if (notBefore !== null && row.origin === 'late') coverage.saw('delayed row committed after its time')
    }
    for (const { partition } of request.partitions) {
      const due = result.rows.filter((row) => row.origin === 'delayed' && row.partition === partition)
      if (due.length >= request.upperLimit) coverage.saw('delayed rows cut')
    }
    if (result.inRecovery) coverage.saw('read in recovery')
    const late = new Map<number, number>()
    for (const row of result.rows) {
      if (row.origin === 'late') late.set(row.partition, (late.get(row.partition) ?? 0) + 1)
    }
    for (const count of late.values()) if (count >= options.lateLimit) coverage.saw('cut late list')
    coverage.saw('look at held rows cut', result.unseen.size)
    if (late.size > 0 && request.last !== null && result.snapshot.xmax > request.last.xmax) {
      coverage.saw('list entry at or above the last xmax')
    }
    if (request.channels.length < options.channels.size) coverage.saw('hold')
    coverage.saw('orphan removed', result.orphans.length)
  }

  #send(command: Extract<Command, { type: 'send' }>): Operation {
    const { broker, watch, clock, watchZombies, seams, database } = this.#around
    if (seams.removesBeforeSend === true) database.remove(command.rows)
    const watched = watch.sends((partition) => this.#leaseName(partition), command)
    let fates: readonly Fate[] = []
    const end = (answered: readonly Fate[]): void => {
      watch.ended(watched, answered)
      watchZombies.confirms(this.mindName, command.rows, answered)
      const each = this.tap.fate === undefined ? answered : answered.map(this.tap.fate)
      const told = this.tap.fates?.(each) ?? each
      this.mind.sendEnded(command.send, told, clock.now)
    }
    return {
      kind: 'send',
      hasEffect: false,
      effect: (how) => {
        fates = broker.publish(command.rows, how)
      },
      answer: () => end(fates),
      fail: () => end(command.rows.map(() => silence)),
    }
  }

  #remove({ remove, rows }: Extract<Command, { type: 'remove' }>): Operation {
    const { database, clock, seams, watchZombies } = this.#around
    const { mindName } = this
    if (seams.awaitsNot === 'remove') this.mind.removed(remove)
    return {
      kind: 'remove',
      hasEffect: false,
      effect: () => watchZombies.deletes(mindName, 'ack', rows, () => database.remove(rows)),
      answer: () => this.mind.removed(remove),
      fail: () => this.mind.removeFailed(remove, clock.now),
    }
  }

  #write(command: WriteCommand): Operation {
    const { database, clock, coverage, seams, watchZombies } = this.#around
    const { mindName } = this
    const { write } = command
    let outcomes: FollowerOutcome[] = []
    if (seams.awaitsNot === 'block') {
      this.mind.written(
        write,
        rowsOf(command).map(() => 'written'),
      )
    }
    return {
      kind: command.type,
      hasEffect: false,
      effect: () => {
        outcomes = carryOut(database, command, clock.now)
        countWrite(coverage, command, outcomes)
        const isWritten = outcomes.map((outcome) => outcome === 'written')
        watchZombies.writes(mindName, 'mark', rowsOf(command), isWritten)
      },
      answer: () => this.mind.written(write, outcomes),
      fail: () => this.mind.writeFailed(write, clock.now),
    }
  }
}

function nothing(): void {}
