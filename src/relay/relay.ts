import { awake, type Clock, type Random } from '../kernel/clock.ts'
import { withDeadline } from '../kernel/deadline.ts'
import { describeError, WaybillError } from '../kernel/errors.ts'
import { failpoint } from '../kernel/failpoint.ts'
import { Lifecycle } from '../kernel/lifecycle.ts'
import type { Logger } from '../kernel/logger.ts'
import type { Lane, LeasedPartition } from '../ports/lane.ts'
import type { LeaseSession } from '../ports/leases.ts'
import type { Outbox, OutboxRow } from '../ports/outbox.ts'
import type { Store } from '../ports/store.ts'
import type { Fate } from '../ports/transport.ts'
import { Calls, type FailedCall, type WaitingCall } from './calls.ts'
import { LeaseKeeper } from './lease-keeper.ts'
import { RelayMind } from './mind/mind.ts'
import type { Command, MindCounters, MindOptions, StoppedFencing } from './mind/types.ts'
import { FencingHands } from './fencing-hands.ts'
import { areFew } from './few-rows.ts'
import { notedSession, peersOf } from './peers.ts'
import type { FencedSender, OnceSender, Sender } from './sender.ts'
import { TakingHands } from './taking-hands.ts'
import { RelayWatch, type RelayVitals } from './watch.ts'
import { WritingHands } from './writing-hands.ts'

export interface RelayOptions {
  readonly lane: Lane
  readonly store: Store
  readonly sender: Sender
  /** Needed where a channel has form `take`; see {@link TakingOptions}. */
  readonly once?: OnceSender
  readonly onceTimeoutMs?: number
  /** Needed where a channel has form `fence`. */
  readonly fenced?: FencedSender
  readonly mind: Omit<MindOptions, 'random'>
  readonly leaseMs: number
  /** How long `stop` waits for what is under way. */
  readonly stopTimeoutMs: number
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
}

export interface RelayStatus {
  readonly lane: Lane
  readonly partitions: readonly number[]
  readonly inMemory: number
  /** A copy: how they were when it was asked for. */
  readonly counters: Readonly<MindCounters>
  /** Partitions whose exactly-once channels wait for an operator. */
  readonly stopped: readonly StoppedFencing[]
  readonly vitals: RelayVitals & CallVitals
}

/** What hangs, and what has failed. */
export interface CallVitals {
  /** The longest first. */
  readonly waitingFor: readonly WaitingCall[]
  readonly failed: readonly FailedCall[]
}

/** Moves one lane's rows: the I/O around {@link RelayMind}. It decides nothing itself. */
export class Relay {
  readonly #options: RelayOptions
  readonly #lifecycle: Lifecycle
  #run: Run | null = null
  #last: RelayStatus | null = null

  constructor(options: RelayOptions) {
    this.#options = options
    checkForms(options)
    this.#lifecycle = new Lifecycle(
      async () => {
        this.#run = new Run(this.#options, await this.#options.store.openOutbox(this.#options.lane))
      },
      async () => {
        await this.#run?.stop()
        this.#last = this.status()
        this.#run = null
      },
    )
  }

  start(): Promise<void> {
    return this.#lifecycle.start()
  }

  /** Drains: nothing new is sent, what is under way ends, leases are given back; then closes. */
  stop(): Promise<void> {
    return this.#lifecycle.stop()
  }

  /** There may be something new in the outbox. */
  wake(): void {
    this.#run?.wake()
  }

  /** Somebody has written to the outbox and not committed yet. */
  hint(): void {
    this.#run?.hint()
  }

  status(): RelayStatus | null {
    return this.#run?.status() ?? null
  }

  /** How it was when it had stopped: what ended meanwhile is in no status from before. */
  get last(): RelayStatus | null {
    return this.#last
  }
}

function checkForms({ mind, once, fenced, lane }: RelayOptions): void {
  for (const [name, { form }] of mind.channels) {
    const isMissing = form === 'take' ? once === undefined : form === 'fence' && fenced === undefined
    if (!isMissing) continue
    const cannot = form === 'take' ? 'send without a confirm' : 'write fenced transactions'
    throw new WaybillError(
      'WB_INVALID_CONFIG',
      `Channel "${name}" cannot be sent: transport "${lane.transport}" cannot ${cannot}.`,
    )
  }
}

class Run {
  readonly #options: RelayOptions
  readonly #outbox: Outbox
  readonly #mind: RelayMind
  readonly #taking: TakingHands
  readonly #fencing: FencingHands
  readonly #writing: WritingHands
  readonly #keeper: LeaseKeeper
  readonly #watch: RelayWatch
  readonly #calls: Calls
  readonly #sender: Sender
  #sleep: AbortController | null = null
  #isStopped = false
  #onQuiet: (() => void) | null = null

  constructor(options: RelayOptions, outbox: Outbox) {
    this.#options = options
    const calls = (this.#calls = new Calls(options.clock))
    const peers = peersOf(options, outbox, calls)
    this.#outbox = peers.outbox
    this.#sender = peers.sender
    const mind = (this.#mind = new RelayMind({ ...options.mind, random: options.random }))
    const watch = (this.#watch = new RelayWatch(
      options.lane,
      options.mind.channels.keys(),
      options.clock.now(),
    ))
    const taking = (this.#taking = new TakingHands({ ...options, ...peers.hands, watch }, this.#outbox, mind))
    this.#fencing = new FencingHands({ ...options, ...peers.hands, watch }, this.#outbox, mind)
    this.#writing = new WritingHands({ ...options, watch }, this.#outbox, mind)
    const pump = (): void => this.#pump()
    this.#keeper = new LeaseKeeper({
      ...options,
      open: async () => {
        const opening = (): Promise<LeaseSession> => options.store.openLeases(options.lane)
        return notedSession(await calls.noted('database', 'joining the lane', opening), calls)
      },
      holder: {
        get held() {
          return mind.held
        },
        get kept() {
          return mind.kept
        },
        gained(partitions, until) {
          mind.gained(partitions, until)
          watch.leasesChanged('gained', partitions.length, mind.held.length)
          pump()
        },
        renewed(partitions, until) {
          const before = mind.held.length
          mind.renewed(partitions, until)
          if (mind.held.length < before) {
            const lost = before - mind.held.length
            watch.leasesChanged('lost', lost, mind.held.length)
            options.logger.warn({ lane: options.lane, lost }, 'lost leases to another relay')
          }
          pump()
        },
        answered() {
          watch.leasesAnswered(options.clock.now())
        },
        lostAll(code) {
          const lost = mind.held.length
          mind.lostAll()
          if (code !== null) watch.leasesFailed(code)
          watch.leasesChanged('lost', lost, 0)
          pump()
        },
        report() {
          const stopped = mind.stopped.map(({ partition }) => partition)
          return watch.report(options.clock.now(), stopped)
        },
        flush: () => taking.flush(Math.min(options.leaseMs / 3, options.stopTimeoutMs)),
        giveUp(partitions) {
          mind.drain(partitions)
          pump()
        },
      },
    })
    this.#keeper.start()
  }

  wake(): void {
    this.#mind.wake()
    this.#pump()
  }

  hint(): void {
    if (this.#mind.hint(this.#options.clock.now())) this.#pump()
  }

  status(): RelayStatus {
    const mind = this.#mind
    const partitions = mind.held.map(({ partition }) => partition)
    return {
      lane: this.#options.lane,
      partitions,
      inMemory: mind.inMemory,
      counters: { ...mind.counters },
      stopped: mind.stopped,
      vitals: {
        ...this.#watch.vitals(this.#options.clock.now()),
        waitingFor: this.#calls.waiting,
        failed: this.#calls.failed,
      },
    }
  }

  async stop(): Promise<void> {
    const { stopTimeoutMs, logger, lane } = this.#options
    this.#keeper.leave()
    const quiet = new Promise<void>((resolve) => {
      this.#onQuiet = resolve
    })
    this.#mind.drain(this.#mind.held.map(({ partition }) => partition))
    this.#pump()
    try {
      await withDeadline(quiet, stopTimeoutMs, 'draining the relay')
    } catch {
      // What was under way may have been delivered; its rows are still there and will be sent once more.
      logger.warn({ lane, inMemory: this.#mind.inMemory }, 'stopped before everything under way had ended')
    }
    this.#isStopped = true
    this.#sleep?.abort(awake)
    await this.#keeper.stop()
    await this.#outbox.close()
  }

  #pump(): void {
    if (this.#isStopped) return
    const { clock } = this.#options
    const commands = this.#mind.decide(clock.now())
    const isBrief = areFew(commands)
    for (const command of commands) {
      if (command.type === 'read' && isBrief)
        setImmediate(() => this.#isStopped || void this.#execute(command))
      else void this.#execute(command)
    }
    this.#watch.held(this.#mind.failing)
    if (this.#onQuiet !== null && this.#mind.isIdle && this.#mind.held.length === 0) this.#onQuiet()
    const at = this.#mind.nextDecisionAt()
    this.#sleep?.abort(awake)
    this.#sleep = null
    if (at === Infinity) return
    const sleep = (this.#sleep = new AbortController())
    void clock.sleep(Math.max(at - clock.now(), 0), sleep.signal).then(() => {
      if (!sleep.signal.aborted) this.#pump()
    })
  }

  /** Never rejects: every failure is an event of the mind. */
  async #execute(command: Command): Promise<void> {
    try {
      switch (command.type) {
        case 'read':
        case 'readNews':
          await this.#read(command)
          break
        case 'send':
          this.#mind.sendEnded(command.send, await this.#send(command), this.#options.clock.now())
          failpoint('relay.after-send')
          break
        case 'remove':
          await this.#remove(command)
          break
        case 'block':
        case 'bury':
        case 'move':
        case 'lose':
          await this.#writing.write(command)
          break
        case 'take':
          await this.#taking.take(command)
          break
        case 'dispatch':
          await this.#taking.dispatch(command)
          break
        case 'endTaken':
          await this.#taking.endTaken(command)
          break
        case 'takeOver':
          await this.#fencing.takeOver(command)
          break
        case 'fencedState':
          await this.#fencing.askState(command)
          break
        case 'publishFenced':
          await this.#fencing.publish(command)
          break
        case 'removeFenced':
          await this.#fencing.remove(command)
          break
        case 'releaseFenced':
          await this.#fencing.release(command)
          break
        case 'fencingStopped':
          this.#fencing.tellStopped(command.stopped)
          break
        case 'release':
          await this.#keeper.release(command.partitions)
          this.#watch.leasesChanged('released', command.partitions.length, this.#mind.held.length)
          break
        case 'fenced':
          this.#fenced(command.partitions)
          break
      }
    } finally {
      this.#pump()
    }
  }

  async #read(command: Extract<Command, { type: 'read' | 'readNews' }>): Promise<void> {
    const { clock } = this.#options
    this.#watch.readIssued(clock.now())
    try {
      const result =
        command.type === 'read'
          ? await this.#outbox.read(command.request)
          : await this.#outbox.readNews(command.request)
      const found = result?.rows.length ?? 0
      this.#watch.readEnded(found, null, clock.now())
      if (found > 0) failpoint('relay.after-read')
      this.#mind.readReturned(command.read, result, this.#options.clock.now())
    } catch (error) {
      this.#warn(error, 'could not read the outbox')
      this.#watch.readEnded(0, describeError(error).code, clock.now())
      this.#mind.readFailed(command.read, this.#options.clock.now())
    }
  }

  async #send({ channel, rows }: Extract<Command, { type: 'send' }>): Promise<readonly Fate[]> {
    const { clock } = this.#options
    const startedAt = clock.now()
    this.#watch.sendStarted(channel, rows.length)
    const fates = await this.#handOver(rows)
    this.#watch.sendEnded(channel, rows, fates, clock.now() - startedAt)
    return fates
  }

  async #handOver(rows: readonly OutboxRow[]): Promise<readonly Fate[]> {
    const { sendTimeoutMs } = this.#options.mind
    failpoint('relay.before-send')
    try {
      return await this.#sender.send(rows, sendTimeoutMs)
    } catch (error) {
      const { code, message } = describeError(error)
      return rows.map(() => ({ outcome: 'unknown', code, reason: message }))
    }
  }

  async #remove(command: Extract<Command, { type: 'remove' }>): Promise<void> {
    try {
      await this.#outbox.remove(command.rows)
      failpoint('relay.after-remove')
      this.#mind.removed(command.remove)
    } catch (error) {
      this.#warn(error, 'could not delete delivered rows; trying again')
      this.#mind.removeFailed(command.remove, this.#options.clock.now())
    }
  }

  #fenced(partitions: readonly LeasedPartition[]): void {
    const numbers = partitions.map(({ partition }) => partition)
    this.#options.logger.warn(
      { lane: this.#options.lane, partitions: numbers },
      'fenced: another relay has taken over',
    )
  }

  #warn(error: unknown, message: string): void {
    this.#options.logger.warn({ lane: this.#options.lane, error: describeError(error) }, message)
  }
}
