import type { TransactionRunner } from '../ports/transaction-runner.ts'
import type { Place } from './batch-transaction.ts'
import type { Ready } from './call-handler.ts'
import type { Turn, WindowEntry } from './window-entry.ts'

/** A turn that has begun. */
export interface UnderWay {
  readonly turn: Turn
  /** `false`: a pause is due. Never rejects. */
  readonly done: Promise<boolean>
  /** The turn that was begun behind it; known when it is done. */
  readonly next: UnderWay | undefined
}

/** A turn that was taken and decoded while the one before it was with the server. */
export interface Ahead {
  readonly turn: Turn
  readonly ready: readonly Ready<WindowEntry>[]
}

/** What a row is made of. */
export interface RowHands {
  takeAhead(): Ahead | undefined
  /** Whether one may begin now. */
  mayBegin(): boolean
  /** Begins it before it returns. */
  begin(ahead: Ahead, behind: TransactionRunner): UnderWay
  /** What was taken is not run. */
  release(turn: Turn): void
}

/**
 * The turn that follows another in a row of transactions. It is taken while the first one's admission is with the server, and its own is
 * sent behind the first one's COMMIT: so the server has always something to do, and a consumer costs what the database costs. Its
 * handlers begin when that commit is acknowledged; where it is not, the turn is released, and what is of the same keys is run in order.
 */
export class Successor {
  /** For the first one's transaction. */
  readonly place: Place = {
    // What was sent leaves first: the server is to be at work meanwhile.
    onAdmitting: () => void setImmediate(() => this.#takeAhead()),
    onCommitSent: (behind) => this.#begin(behind),
  }
  readonly #hands: RowHands
  #ahead: Ahead | undefined
  #underWay: UnderWay | undefined
  #isOver = false

  constructor(hands: RowHands) {
    this.#hands = hands
  }

  get underWay(): UnderWay | undefined {
    return this.#underWay
  }

  #takeAhead(): void {
    if (!this.#isOver && this.#underWay === undefined) this.#ahead ??= this.#hands.takeAhead()
  }

  #begin(behind: TransactionRunner): void {
    const ahead = this.#ahead
    if (ahead === undefined || !this.#hands.mayBegin()) return
    // Its stream was taken away meanwhile: whoever has it now may be at work on it.
    if (ahead.turn.entries.some(({ state }) => state !== 'running')) return
    this.#ahead = undefined
    this.#underWay = this.#hands.begin(ahead, behind)
  }

  /** The first one has ended: one that was not begun behind it is not in this row. */
  end(): void {
    this.#isOver = true
    if (this.#ahead !== undefined) this.#hands.release(this.#ahead.turn)
    this.#ahead = undefined
  }
}
