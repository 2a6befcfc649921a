import type { LeasedPartition } from '../../ports/lane.ts'
import type { FencedState, FollowerOutcome, ReadResult, TakeOutcome } from '../../ports/outbox.ts'
import type { Fate, FencedOutcome, TakenOver } from '../../ports/transport.ts'
import type { OnceResult } from '../sender.ts'
import { MindCore } from './core.ts'
import { Finishing } from './finishing.ts'
import { Fencing } from './fencing.ts'
import { Gathering } from './gathering.ts'
import { Reading } from './reading.ts'
import { Sending } from './sending.ts'
import { Taking } from './taking.ts'
import type { Command, FailingChannel, MindCounters, MindOptions, StoppedFencing } from './types.ts'
import { Verdicts } from './verdicts.ts'
import { Writing } from './writing.ts'

/**
 * The relay's mind: a state machine without I/O and without a clock. What happened goes in, with the time; what to do comes
 * out of {@link RelayMind.decide}. All rules on floors, the snapshot list, in-flight rows, closed keys and holds stand in
 * this folder and none in the I/O around it, so that thousands of interleavings can be run in a second.
 */
export class RelayMind {
  readonly #core: MindCore
  readonly #reading: Reading
  readonly #finishing: Finishing
  readonly #writing: Writing
  readonly #gathering: Gathering
  readonly #taking: Taking
  readonly #fencing: Fencing
  readonly #sending: Sending

  constructor(options: MindOptions) {
    this.#core = new MindCore(options)
    this.#finishing = new Finishing(this.#core)
    this.#writing = new Writing(this.#core)
    this.#reading = new Reading(this.#core, this.#writing)
    this.#gathering = new Gathering(this.#core, this.#writing)
    const verdicts = new Verdicts(this.#core, this.#finishing, this.#writing, this.#gathering)
    this.#taking = new Taking(this.#core, this.#gathering, this.#writing)
    this.#fencing = new Fencing(this.#core, this.#gathering, verdicts)
    this.#sending = new Sending(this.#core, this.#gathering, verdicts, this.#taking, this.#fencing)
  }

  /** Leases gained. `until`: when they end, on the clock that `decide` is given. */
  gained(partitions: readonly LeasedPartition[], until: number): void {
    for (const { partition, epoch } of partitions) this.#core.gain(partition, epoch, until)
  }

  /** Leases put off to `until`. What is held and not named is lost. */
  renewed(partitions: readonly LeasedPartition[], until: number): void {
    const kept = new Map(partitions.map(({ partition, epoch }) => [partition, epoch]))
    for (const partition of this.#core.partitions.values()) {
      if (kept.get(partition.partition) === partition.epoch) partition.until = until
      else this.#core.lose(partition)
    }
    this.#fencing.renewed()
  }

  /** Every lease is lost. */
  lostAll(): void {
    for (const partition of this.#core.partitions.values()) this.#core.lose(partition)
  }

  /** Starts to give partitions up: nothing new of them is read or sent; `release` follows when nothing is under way. */
  drain(partitions: Iterable<number>): void {
    for (const number of partitions) {
      const partition = this.#core.partitions.get(number)
      if (partition === undefined || partition.isDraining) continue
      partition.isDraining = true
      this.#gathering.drain(partition)
      this.#fencing.drain(partition)
    }
  }

  /** There may be something to read: at once, and once more after a read that is under way. */
  wake(): void {
    this.#reading.wake()
  }

  /** See {@link Reading.hint}. */
  hint(now: number): boolean {
    return this.#reading.hint(now)
  }

  /** `null`: see `Outbox.readNews`. */
  readReturned(read: number, result: ReadResult | null, now: number): void {
    this.#reading.returned(read, result, now)
  }

  readFailed(read: number, now: number): void {
    this.#reading.failed(read, now)
  }

  sendEnded(send: number, fates: readonly Fate[], now: number): void {
    this.#sending.ended(send, fates, now)
  }

  taken(take: number, outcomes: readonly TakeOutcome[], now: number): void {
    this.#taking.taken(take, outcomes, now)
  }

  takeFailed(take: number, now: number): void {
    this.#taking.takeFailed(take, now)
  }

  notReady(take: number, now: number): void {
    this.#taking.notReady(take, now)
  }

  dispatched(take: number, results: readonly OnceResult[], now: number): void {
    this.#taking.dispatched(take, results, now)
  }

  takeEnded(take: number): void {
    this.#taking.ended(take)
  }

  endTakenFailed(take: number, now: number): void {
    this.#taking.endFailed(take, now)
  }

  tookOver(call: number, found: TakenOver): void {
    this.#fencing.tookOver(call, found)
  }

  fencedStateReturned(call: number, state: FencedState, now: number): void {
    this.#fencing.compared(call, state, now)
  }

  publishedFenced(call: number, outcome: FencedOutcome, now: number): void {
    this.#fencing.published(call, outcome, now)
  }

  /** `holds`: see `Outbox.removeFenced`. */
  removedFenced(call: number, holds: boolean): void {
    this.#fencing.removed(call, holds)
  }

  /** See `WB_FENCED_MISMATCH` of `Outbox.removeFenced`. */
  fencedMismatch(call: number, now: number): void {
    this.#fencing.mismatched(call, now)
  }

  /** A take-over, a question for the state or a fenced delete has failed, or nobody knows. */
  fencedCallFailed(call: number, now: number): void {
    this.#fencing.failed(call, now)
  }

  removed(remove: number): void {
    this.#finishing.removed(remove)
  }

  removeFailed(remove: number, now: number): void {
    this.#finishing.removeFailed(remove, now)
  }

  /** What became of each row of a `block`, `bury`, `move` or `lose`. */
  written(write: number, outcomes: readonly FollowerOutcome[]): void {
    this.#writing.written(write, outcomes)
  }

  writeFailed(write: number, now: number): void {
    this.#writing.writeFailed(write, now)
  }

  /** Everything that can be done now. Call it after every event and at {@link RelayMind.nextDecisionAt}. */
  decide(now: number): Command[] {
    // The read first: the database works on it while the rest is carried out.
    const read = this.#reading.issue(now)
    const commands = read === null ? [] : [read]
    commands.push(...this.#taking.issue(now), ...this.#fencing.issue(now), ...this.#sending.issue(now))
    for (const part of [this.#finishing, this.#writing]) {
      const command = part.issue(now)
      if (command !== null) commands.push(command)
    }
    const drained = [...this.#core.partitions.values()].filter((each) => each.isDraining && each.busy === 0)
    if (drained.length > 0) {
      for (const partition of drained) this.#core.lose(partition)
      commands.push({
        type: 'release',
        partitions: drained.map(({ partition, epoch }) => ({ partition, epoch })),
      })
    }
    commands.push(...this.#fencing.release())
    if (this.#core.fenced.length > 0)
      commands.push({ type: 'fenced', partitions: this.#core.fenced.splice(0) })
    return commands
  }

  /** When `decide` has something to do if nothing happens until then; Infinity if only an event can change that. */
  nextDecisionAt(): number {
    return Math.min(
      this.#reading.nextAt(),
      this.#finishing.nextTry(),
      this.#writing.nextTry(),
      this.#taking.nextTry(),
      this.#fencing.nextTry(),
    )
  }

  get held(): LeasedPartition[] {
    return [...this.#core.partitions.values()].map(({ partition, epoch }) => ({ partition, epoch }))
  }

  /** Partitions held that are not being given up. */
  get kept(): LeasedPartition[] {
    const kept = [...this.#core.partitions.values()].filter((each) => !each.isDraining)
    return kept.map(({ partition, epoch }) => ({ partition, epoch }))
  }

  /** Nothing is under way: no send, no take, no delete, no line. */
  get isIdle(): boolean {
    return (
      this.#sending.underway === 0 &&
      this.#taking.isIdle &&
      this.#fencing.isIdle &&
      this.#finishing.isIdle &&
      this.#writing.isIdle
    )
  }

  get stopped(): StoppedFencing[] {
    return this.#fencing.stopped
  }

  /** Channels whose destination fails for everyone: on hold, or probed with one message at a time. */
  get failing(): FailingChannel[] {
    const failing: FailingChannel[] = []
    for (const { name, failures, heldUntil, code } of this.#core.channels.values())
      if (failures > 0) failing.push({ channel: name, failures, heldUntil, code })
    return failing
  }

  get inMemory(): number {
    return this.#core.held
  }

  get counters(): Readonly<MindCounters> {
    return this.#core.counters
  }
}
