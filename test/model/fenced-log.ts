import type { OutboxRow } from '../../src/ports/outbox.ts'
import type { Fate, FencedNote, FencedOutcome, TakenOver } from '../../src/ports/transport.ts'
import type { Broker } from './broker.ts'
import type { Coverage } from './coverage.ts'

export interface LogFlaws {
  /** A writer that was taken over from may write on. */
  readonly fencesNobody?: boolean
}

interface Writing {
  readonly rows: readonly OutboxRow[]
  readonly note: FencedNote
}

/** What a log keeps of one outbox partition. */
interface Kept {
  /** Raised by each take-over: writers of an older one are fenced. */
  generation: number
  last: FencedNote | null
  /** A transaction whose end nobody knows: it may still commit, until the next take-over decides it. */
  undecided: Writing | null
}

export const lineage = 'cluster/topic'

/** A log with transactions, one fenced writer for each outbox partition. What it commits has arrived, with its note. */
export class FencedLog {
  readonly #broker: Broker
  readonly #coverage: Coverage
  readonly #flaws: LogFlaws
  readonly #kept = new Map<number, Kept>()

  constructor(broker: Broker, coverage: Coverage, flaws: LogFlaws) {
    this.#broker = broker
    this.#coverage = coverage
    this.#flaws = flaws
  }

  last(partition: number): FencedNote | null {
    return this.#of(partition).last
  }

  takeOver(partition: number, how: number): { readonly generation: number; readonly found: TakenOver } {
    const kept = this.#of(partition)
    kept.generation += 1
    this.#decide(kept, how % 2 === 0)
    this.#coverage.saw('taken over')
    return { generation: kept.generation, found: { last: kept.last, lineage } }
  }

  publish(partition: number, generation: number, writing: Writing, how: number): FencedOutcome {
    const kept = this.#of(partition)
    const { rows } = writing
    if (generation !== kept.generation && this.#flaws.fencesNobody !== true) {
      this.#coverage.saw('fenced by a successor')
      return { outcome: 'fenced' }
    }
    const { down, poison } = this.#broker
    if (down.has(rows[0]!.channel)) return refused(rows, () => rejected('destination', true))
    if (rows.some((row) => poison.get(row.id) === 'breaker')) return this.#unanswered(false)
    if (rows.some((row) => poison.has(row.id))) {
      this.#coverage.saw('transaction refused')
      return refused(rows, (row) =>
        poison.has(row.id) ? rejected('message', poison.get(row.id) === 'reject') : innocent,
      )
    }
    switch (how % 12) {
      case 1:
        return this.#unanswered(false)
      case 2:
        this.#commit(kept, writing)
        return this.#unanswered(true)
      case 3:
        kept.undecided = writing
        return this.#unanswered(how % 2 === 0)
      case 4:
        return refused(rows, (_, i) => (i >= how % rows.length ? rejected('message', true) : innocent))
      case 5:
        return refused(rows, () => innocent)
      default:
        this.#commit(kept, writing)
        return { outcome: 'committed' }
    }
  }

  straggle(pick: number): void {
    for (const kept of this.#kept.values()) this.#decide(kept, pick % 2 === 0)
  }

  #decide(kept: Kept, commits: boolean): void {
    const { undecided } = kept
    if (undecided === null) return
    this.#coverage.saw('commit decided by a take-over')
    kept.undecided = null
    if (commits) this.#commit(kept, undecided)
  }

  #unanswered(isDone: boolean): FencedOutcome {
    this.#coverage.saw(isDone ? 'commit unanswered, and done' : 'commit unanswered, and not done')
    return { outcome: 'unknown', code: 'NO_ANSWER', reason: 'no answer' }
  }

  #commit(kept: Kept, { rows, note }: Writing): void {
    kept.last = note
    this.#broker.arrivals.push(...rows)
  }

  #of(partition: number): Kept {
    let kept = this.#kept.get(partition)
    if (kept === undefined) {
      kept = { generation: 0, last: null, undecided: null }
      this.#kept.set(partition, kept)
    }
    return kept
  }
}

const innocent: Fate = { ...rejected('message', true), code: 'WB_ABORTED' }

function rejected(scope: 'message' | 'destination', retryable: boolean): Extract<Fate, { scope: string }> {
  return { outcome: 'rejected', scope, retryable, code: 'REFUSED', reason: 'refused' }
}

function refused(rows: readonly OutboxRow[], fateOf: (row: OutboxRow, i: number) => Fate): FencedOutcome {
  return { outcome: 'rejected', fates: rows.map(fateOf) }
}
