import { describeError } from '../kernel/errors.ts'
import { failpoint } from '../kernel/failpoint.ts'
import { backoffMs } from '../kernel/retry.ts'
import type { Delivery } from '../ports/transport.ts'
import type { BatchProcessor } from './batch-processor.ts'
import type { Place } from './batch-transaction.ts'
import { Conclusions } from './conclusions.ts'
import type { BrokerConsumerOptions } from './consumer-options.ts'
import { Departures } from './departures.ts'
import { tellDone, type ConsumerListener } from './events.ts'
import { orderKey } from './handler.ts'
import type { Membership } from './membership.ts'
import { OnceDesk } from './once-desk.ts'
import type { Outcome } from './outcome.ts'
import { type Ahead, type RowHands, Successor, type UnderWay } from './row.ts'
import { Settlement } from './settlement.ts'
import { Slots } from './slots.ts'
import type { StreamCheckpoints } from './stream-checkpoints.ts'
import { isInOrder } from './stream-form.ts'
import type { StreamTransforms } from './stream-transforms.ts'
import type { StreamWindow } from './stream-window.ts'
import { Wake } from './wake.ts'
import type { Turn, WindowEntry } from './window-entry.ts'
import type { WorkItem } from './work-item.ts'

/** What a run works with; `BrokerConsumer` makes them. */
export interface RunParts {
  readonly window: StreamWindow
  readonly membership: Membership
  readonly processor: BatchProcessor<WindowEntry>
  readonly checkpoints: StreamCheckpoints
  readonly transforms: StreamTransforms
  readonly tell: ConsumerListener
  /** Gives up what is running. */
  readonly giveUp: AbortSignal
}

/**
 * One run of a consumer, from its start to its stop: a loop that receives, and some that handle and settle. None ends
 * by an error: it is logged, and tried again after a pause that grows (I4, O3).
 */
export class ConsumerRun {
  readonly #options: BrokerConsumerOptions
  readonly #parts: RunParts
  readonly #conclusions: Conclusions
  readonly #settlement: Settlement
  readonly #once: OnceDesk
  readonly #stop = new AbortController()
  readonly #slots: Slots
  /** One for each slot. */
  readonly #workers: readonly Wake[]
  readonly #room: Wake
  readonly #departures: Departures
  readonly #row: RowHands
  /**
   * Whether transactions are sent in a row, each behind the COMMIT of the one before. Not beside others: what is running would not be
   * what a turn was taken behind. Nor where a stream is settled first, or keeps its position in a transaction.
   */
  readonly #isInRow: boolean
  /** Which of its loops have last met an error. */
  readonly #troubled = new Set<Loop>()
  /** The last turn that ended left no pause due. */
  #isCalm = true

  constructor(options: BrokerConsumerOptions, parts: RunParts) {
    const { window, membership, tell } = parts
    this.#options = options
    this.#parts = parts
    const onStale = (): void => void membership.renew()
    this.#conclusions = new Conclusions(options, { ...parts, onStale })
    this.#settlement = new Settlement(options, window, membership, tell)
    this.#once = new OnceDesk(options, membership, tell)
    this.#slots = new Slots(options.handlers)
    this.#workers = Array.from({ length: this.#slots.count }, () => new Wake(options.clock))
    this.#room = new Wake(options.clock)
    this.#departures = new Departures((stream) => window.isAtRest(stream) && !this.#once.owes(stream))
    const forms = [...options.handlers.values()].map(({ form }) => form)
    this.#isInRow =
      this.#slots.count === 1 && forms.every((form) => form === 'inbox' || form === 'settle-after')
    this.#row = {
      takeAhead: () => this.#takeAhead(),
      mayBegin: () => this.#isCalm && !this.#stop.signal.aborted,
      begin: ({ turn, ready }, behind) => this.#begin(turn, { behind, ready }),
      release: (turn) => this.#release(turn),
    }
  }

  /** Resolves when its loops have ended, after `stop`. Never rejects. */
  async start(): Promise<void> {
    await Promise.all([this.#receiveAll(), ...this.#workers.map((worker) => this.#handleAll(worker))])
    // The last turn's settlement may have failed, and so may the last count.
    await this.#settlement.settle().catch(() => {})
    await this.#once.count()
    this.#departures.end()
  }

  stop(): void {
    this.#stop.abort()
  }

  /** The broker took these streams away; `undefined`: all of them. */
  revoke(streams: readonly string[] | undefined): void {
    if (streams === undefined) {
      this.#parts.window.revokeAll()
      this.#once.revokeAll()
    } else {
      this.#parts.window.revoke(streams)
      this.#once.revoke(streams)
    }
    this.#room.set()
    this.#departures.look()
  }

  /**
   * The broker will take these streams away, and waits: no more of them begins. Resolves when what had begun is settled, or could not
   * be done now.
   */
  async leave(streams: readonly string[]): Promise<void> {
    this.#parts.window.recede(streams)
    this.#room.set()
    await this.#departures.wait(streams)
  }

  /** Nothing of this stream may run any more before it is assigned anew. */
  drop(stream: string, assignment: number): void {
    this.#parts.window.drop(stream, assignment)
    this.#room.set()
    this.#departures.look()
  }

  async #receiveAll(): Promise<void> {
    const { window, membership } = this.#parts
    const stop = this.#stop.signal
    for (let failures = 0; !stop.aborted;) {
      const room = this.#options.window - window.size
      if (room <= 0) {
        await this.#room.wait(Infinity, stop)
        continue
      }
      try {
        const deliveries = await membership.receive(room, stop)
        // Into the window before anything else can throw: what is not there would be settled past.
        window.add(deliveries, (delivery) => this.#keyOf(delivery))
        for (const worker of this.#workers) worker.set()
        failpoint('consumer.after-receive')
        this.#isWell('receiving')
        failures = deliveries.length > 0 ? 0 : failures + 1
      } catch (error) {
        failures += 1
        this.#warn(describeError(error), 'could not receive from the broker', 'receiving')
      }
      if (failures > 0) await this.#pause(failures)
    }
  }

  /** One of several that take turns side by side. Which entries they take never overlap, and no two hold the same key. */
  async #handleAll(work: Wake): Promise<void> {
    const stop = this.#stop.signal
    let underWay: UnderWay | undefined
    for (let failures = 0; ;) {
      const { clock, trouble } = this.#options
      const now = clock.now()
      if (underWay === undefined) {
        const turn = this.#take(now)
        if (turn === undefined && stop.aborted) return
        // With nothing to run there may still be a settlement that has failed before.
        underWay = this.#begin(turn ?? { kind: 'batch', entries: [] })
      }
      const { entries } = underWay.turn
      const isCalm: boolean = await underWay.done
      underWay = underWay.next
      if (entries.length > 0) this.#wakeOthers(work)
      failures = isCalm ? 0 : failures + 1
      if (failures > 0) {
        await this.#pause(failures)
      } else if (entries.length === 0) {
        const dueInMs = this.#parts.window.nextDueAt() - now
        // Due already and not taken: a turn that is under way holds it up, and wakes the others at its end.
        await work.wait(dueInMs > 0 ? dueInMs : trouble.maxMs, stop)
      }
    }
  }

  #take(now: number): Turn | undefined {
    const { window } = this.#parts
    // What was settled runs first, and also when the consumer stops: nobody would hand it over again.
    const owed = this.#once.take(this.#slots)
    if (owed.length > 0) return { kind: 'owed', entries: owed }
    if (this.#stop.signal.aborted) return undefined
    const limits = { ...this.#slots.limits(window), mostSettled: this.#once.room }
    const turn = window.take(this.#options.batchSize, now, limits)
    return turn.entries.length > 0 ? turn : undefined
  }

  #takeAhead(): Ahead | undefined {
    const { window, processor } = this.#parts
    if (!this.#row.mayBegin()) return undefined
    const turn = window.takeBehind(this.#options.batchSize, this.#options.clock.now())
    if (turn === undefined) return undefined
    const ready = processor.readyAhead(itemsOf(turn))
    if (ready !== undefined) return { turn, ready }
    this.#release(turn)
    return undefined
  }

  #begin(turn: Turn, place: Place & Partial<Ahead> = {}): UnderWay {
    const isInRow = this.#isInRow && turn.kind === 'batch' && turn.entries.length > 0
    const successor = isInRow ? new Successor(this.#row) : undefined
    const done = this.#slots.during(turn.entries, () => this.#work(turn, place, successor))
    return {
      turn,
      done,
      get next() {
        return successor?.underWay
      },
    }
  }

  /** `false`: a pause is due. Never rejects. */
  async #work(turn: Turn, place: Place, successor: Successor | undefined): Promise<boolean> {
    if (turn.kind === 'owed') {
      const isCounted = await this.#once.run(turn.entries, this.#parts.giveUp)
      this.#departures.look()
      return isCounted
    }
    let isCalm = false
    try {
      isCalm = await this.#run(turn, { ...place, ...successor?.place })
      successor?.end()
      await this.#settlement.settle()
      // An idle one knows nothing of what keeps another from its end.
      const isLast = this.#slots.busy <= (turn.entries.length > 0 ? 1 : 0)
      if (isCalm && isLast) this.#isWell('handling')
    } catch (error) {
      isCalm = false
      this.#warn(describeError(error), 'could not finish what was received')
    }
    successor?.end()
    // What is still marked as running was left by an error on the way: it has not been finished.
    this.#release(turn)
    this.#room.set()
    this.#departures.look()
    return (this.#isCalm = isCalm)
  }

  #release(turn: Turn): void {
    for (const entry of turn.entries) this.#parts.window.release(entry)
  }

  #wakeOthers(own: Wake): void {
    for (const wake of this.#workers) if (wake !== own) wake.set()
  }

  /** `false`: nothing could be done, and a pause is due. */
  async #run(turn: Turn, place: Place & Partial<Ahead>): Promise<boolean> {
    const { kind, entries } = turn
    if (kind === 'settle') return await this.#runFirst(entries)
    const { processor, giveUp, tell, membership } = this.#parts
    const items = itemsOf(turn)
    if (kind === 'broken') await this.#conclude(entries, (entry) => this.#conclusions.buryBroken(entry))
    if (items.length === 0) return true
    const outcomes = await processor.process(items, giveUp, place)
    tellDone(
      this.#options.consumer,
      items.map(({ envelope }) => envelope),
      outcomes,
      tell,
    )
    const trouble = outcomes.find(isTrouble)
    await this.#conclude(entries, (_entry, i) => this.#conclusions.conclude(items[i]!, outcomes[i]!))
    if (trouble?.outcome === 'stale') {
      this.#warn({ code: trouble.code, message: trouble.reason }, 'a checkpoint went back; joining anew')
      void membership.renew()
    }
    if (trouble?.outcome === 'unavailable' && !this.#stop.signal.aborted) {
      this.#warn(
        { code: trouble.code, message: trouble.reason },
        `the ${entries[0]!.form === 'transform' ? 'broker' : 'store'} is not available; trying again`,
      )
    }
    return trouble === undefined
  }

  /** In order, and on a stream that is kept in order no further than to the first that is not done: a hole would be for ever. */
  async #conclude(
    entries: readonly WindowEntry[],
    conclude: (entry: WindowEntry, index: number) => Promise<void> | void,
  ): Promise<void> {
    for (const [i, entry] of entries.entries()) {
      const concluding = conclude(entry, i)
      if (concluding !== undefined) await concluding
      if (isInOrder(entry.form) && entry.state !== 'done') return
    }
  }

  /** At most once: settled, and only then handed to the desk that runs it (I7). */
  async #runFirst(entries: readonly WindowEntry[]): Promise<boolean> {
    if (!(await this.#once.count())) return false
    try {
      if ((await this.#settlement.settleFirst(entries)) === 'refused') return false
    } catch (error) {
      this.#once.doubt(entries, error)
      await this.#once.count()
      return false
    }
    this.#once.add(entries)
    return true
  }

  #keyOf({ envelope }: Delivery): string | null {
    return envelope === null ? null : orderKey(this.#options.handlers, envelope)
  }

  async #pause(failures: number): Promise<void> {
    const { clock, trouble, random } = this.#options
    await clock.sleep(backoffMs(failures, trouble, random), this.#stop.signal)
  }

  #warn(error: ReturnType<typeof describeError>, message: string, loop: Loop = 'handling'): void {
    const { consumer, logger } = this.#options
    logger.warn({ consumer, error }, message)
    this.#troubled.add(loop)
    this.#parts.tell({ type: 'unavailable', consumer, code: error.code })
  }

  /** What could not be settled may be another's by now: nothing that is handled or settled here would say that all is well. */
  #isWell(loop: Loop): void {
    if (this.#troubled.delete(loop) && this.#troubled.size === 0)
      this.#parts.tell({ type: 'recovered', consumer: this.#options.consumer })
  }
}

type Loop = 'receiving' | 'handling'

function itemsOf({ kind, entries }: Turn): readonly WorkItem<WindowEntry>[] {
  const items: WorkItem<WindowEntry>[] = []
  for (const entry of entries) {
    const { envelope } = entry.delivery
    if (envelope !== null) items.push({ envelope, ref: entry, isAlone: kind === 'alone' })
  }
  return items
}

/** Nothing more could be done, and a pause is due. */
function isTrouble(
  outcome: Outcome,
): outcome is Extract<Outcome, { outcome: 'unavailable' | 'stale' | 'reassigned' }> {
  const { outcome: kind } = outcome
  return kind === 'unavailable' || kind === 'stale' || kind === 'reassigned'
}
