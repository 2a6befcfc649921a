import type { FencedState } from '../../src/ports/outbox.ts'
import type { Fate, FencedOutcome } from '../../src/ports/transport.ts'
import type { Command } from '../../src/relay/mind/types.ts'
import { Broken } from './broken.ts'
import type { FencedLog } from './fenced-log.ts'
import type { Operation, SimulatedRelay, Surroundings } from './relay.ts'
import type { LeaseName } from './watch.ts'

type CommandOf<Type extends Command['type']> = Extract<Command, { type: Type }>

const unknown = { outcome: 'unknown', code: 'NO_ANSWER', reason: 'no answer' } as const

/** The I/O of form `fence`, and the client's side of the log, as the relay's driver has them. */
export class RelayFences {
  readonly #relay: SimulatedRelay
  readonly #around: Surroundings
  /** By partition, as the last take-over that was answered gave it. */
  readonly #generations = new Map<number, number>()
  readonly #atLog = new Set<number>()
  readonly #takingOver = new Set<number>()

  constructor(relay: SimulatedRelay, around: Surroundings) {
    this.#relay = relay
    this.#around = around
  }

  /** A new process. */
  forget(): void {
    this.#generations.clear()
    this.#atLog.clear()
    this.#takingOver.clear()
  }

  release({ partitions }: CommandOf<'releaseFenced'>): void {
    for (const partition of partitions) {
      // A take-over that is under way is called off: it may still be answered, or not.
      if (!this.#takingOver.has(partition)) this.#checkFree(partition)
      this.#generations.delete(partition)
    }
  }

  takeOver({ call, partition: { partition, epoch } }: CommandOf<'takeOver'>): Operation {
    const { broker, clock, coverage, database } = this.#around
    const { mind, tap } = this.#relay
    let answered: ReturnType<FencedLog['takeOver']> | null = null
    this.#enter(partition)
    this.#takingOver.add(partition)
    const leave = (): void => {
      this.#atLog.delete(partition)
      this.#takingOver.delete(partition)
    }
    return {
      kind: 'takeOver',
      hasEffect: false,
      effect: (how) => {
        answered = broker.fenced.takeOver(partition, how)
      },
      answer: () => {
        leave()
        if (answered === null) return
        const { generation, found } = answered
        this.#generations.set(partition, generation)
        if (found.last !== null && found.last.epoch > epoch) coverage.saw('note of a newer owner')
        mind.tookOver(call, tap.found?.(found, partition, database) ?? found)
      },
      fail: () => {
        leave()
        coverage.saw('take-over failed')
        mind.fencedCallFailed(call, clock.now)
      },
    }
  }

  askState({ call, partition: { partition } }: CommandOf<'fencedState'>): Operation {
    const { broker, database, clock, coverage } = this.#around
    const { mind } = this.#relay
    let state: FencedState | null = null
    return {
      kind: 'fencedState',
      hasEffect: false,
      effect: () => {
        state = database.fencedState(partition)
        if (broker.fenced.last(partition)?.number === state.number + 1n)
          coverage.saw('note one ahead of the store')
      },
      answer: () => {
        if (state !== null) mind.fencedStateReturned(call, state, clock.now)
      },
      fail: () => mind.fencedCallFailed(call, clock.now),
    }
  }

  publish(lease: LeaseName, command: CommandOf<'publishFenced'>): Operation {
    const { broker, watch, clock } = this.#around
    const { call, partition, number, rows, channel } = command
    const { mind, tap } = this.#relay
    this.#checkNext(command)
    this.#enter(partition.partition)
    const watched = watch.sends(lease, { type: 'send', send: call, channel, rows })
    const generation = this.#generations.get(partition.partition) ?? 0
    const note = { epoch: partition.epoch, number, rows: rows.map(({ seq, id }) => ({ seq, id })) }
    let outcome: FencedOutcome = unknown
    const end = (told: FencedOutcome): void => {
      this.#atLog.delete(partition.partition)
      watch.ended(
        watched,
        rows.map((_, i) => fateIn(told, i)),
      )
      mind.publishedFenced(call, tap.outcome?.(told) ?? told, clock.now)
    }
    return {
      kind: 'publishFenced',
      hasEffect: false,
      effect: (how) => {
        outcome = broker.fenced.publish(partition.partition, generation, { rows, note }, how)
      },
      answer: () => end(outcome),
      fail: () => end(unknown),
    }
  }

  remove({ call, partition, note, rows }: CommandOf<'removeFenced'>): Operation {
    const { database, clock, seams, coverage, watchZombies } = this.#around
    const { mind, mindName } = this.#relay
    const { epoch } = partition
    let holds = false
    if (seams.awaitsNot === 'removeFenced') mind.removedFenced(call, true)
    return {
      kind: 'removeFenced',
      hasEffect: false,
      effect: () => {
        const refs = rows.map((row) => ({ ...row, epoch }))
        holds = watchZombies.deletes(mindName, 'mark', refs, () =>
          database.removeFenced(partition, note, rows),
        )
      },
      answer: () => {
        if (!holds) coverage.saw('fenced delete refused')
        mind.removedFenced(call, holds)
      },
      fail: () => mind.fencedCallFailed(call, clock.now),
    }
  }

  /** Only its owner knows: a zombie is fenced when it gets there. */
  #checkNext({ partition: { partition, epoch }, number, rows }: CommandOf<'publishFenced'>): void {
    const { database } = this.#around
    const isOwner = database.tables.leases.get(partition)?.epoch === epoch
    if (rows.some((row) => row.partition !== partition))
      throw new Broken(
        'a send is of one channel, held rows, and one run of each key',
        `not all of ${partition}`,
      )
    if (database.failovers > 0 || !isOwner || database.fencedState(partition).number + 1n === number) return
    const invariant = 'exactly once: a transaction begins when the rows of the last are deleted'
    throw new Broken(invariant, `number ${number} of partition ${partition}`)
  }

  #enter(partition: number): void {
    this.#checkFree(partition)
    this.#atLog.add(partition)
  }

  #checkFree(partition: number): void {
    if (!this.#atLog.has(partition)) return
    const invariant = 'a send is of one channel, held rows, and one run of each key'
    throw new Broken(invariant, `two calls for partition ${partition} at the log`)
  }
}

function fateIn(told: FencedOutcome, i: number): Fate {
  if (told.outcome === 'committed') return { outcome: 'confirmed' }
  const fate = told.outcome === 'rejected' ? told.fates[i] : undefined
  return fate?.outcome !== 'rejected' || fate.code === 'WB_ABORTED' ? unknown : fate
}
