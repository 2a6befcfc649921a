import type { TakeOutcome } from '../../src/ports/outbox.ts'
import type { Command } from '../../src/relay/mind/types.ts'
import type { OnceResult } from '../../src/relay/sender.ts'
import type { Operation, SimulatedRelay, Surroundings } from './relay.ts'

type CommandOf<Type extends Command['type']> = Extract<Command, { type: Type }>

/** The I/O of form `take`, as the relay's driver does it. */
export class RelayTakes {
  readonly #relay: SimulatedRelay
  readonly #around: Surroundings

  constructor(relay: SimulatedRelay, around: Surroundings) {
    this.#relay = relay
    this.#around = around
  }

  take(session: string, { take, channel, rows }: CommandOf<'take'>): Operation {
    const { database, broker, clock, coverage, seams, watchTakes, watchZombies } = this.#around
    const { mind, mindName } = this.#relay
    let outcomes: readonly TakeOutcome[] | null = null
    const answer = (): void => {
      if (outcomes === null) {
        coverage.saw('destination not ready')
        watchTakes.ended(session, take)
        mind.notReady(take, clock.now)
        return
      }
      watchTakes.taken(session, take, rows, outcomes)
      coverage.saw('take found a row gone', outcomes.filter((each) => each === 'gone').length)
      coverage.saw('take fenced', outcomes.filter((each) => each === 'fenced').length)
      const held = mind.counters.lost
      mind.taken(take, outcomes, clock.now)
      const lost = mind.counters.lost - held
      coverage.saw('lost with its lease', lost)
      // There is no send that would end it.
      if (lost > 0) watchTakes.ended(session, take)
    }
    if (seams.awaitsNot === 'take') {
      mind.taken(
        take,
        rows.map(() => 'taken'),
        clock.now,
      )
    }
    return {
      kind: 'take',
      hasEffect: false,
      effect: (how) => {
        // Some transports can tell that nobody is there.
        if (how % 4 === 1 || (broker.down.has(channel) && how % 2 === 0)) return
        outcomes = watchZombies.deletes(mindName, 'mark', rows, () =>
          database.take(`${session}/${take}`, rows),
        )
        coverage.saw('taken', outcomes.filter((each) => each === 'taken').length)
      },
      answer,
      fail: () => {
        watchTakes.ended(session, take)
        mind.takeFailed(take, clock.now)
      },
    }
  }

  dispatch(session: string, command: CommandOf<'dispatch'>): Operation {
    const { broker, clock, coverage, watchTakes, seams } = this.#around
    const { take, rows } = command
    const { mind } = this.#relay
    let results: readonly OnceResult[] = []
    const end = (answered: readonly OnceResult[]): void => {
      watchTakes.ended(session, take)
      mind.dispatched(take, answered, clock.now)
    }
    return {
      kind: 'dispatch',
      hasEffect: false,
      effect: (how) => {
        watchTakes.leaves(rows)
        results = broker.dispatch(rows, how)
        const lost = rows.filter((_, i) => (results[i] ?? null) !== null).length
        if (lost > 0 && lost < rows.length) coverage.saw('dispatch lost some')
      },
      answer: () => end(results),
      fail: () => {
        coverage.saw('dispatch unanswered')
        if (seams.dispatchesAgain === true) this.#relay.operations.push(this.dispatch(session, command))
        else end(rows.map(() => ({ cause: 'not-sent', code: 'NO_ANSWER' })))
      },
    }
  }

  endTaken(session: string, { take, losses }: CommandOf<'endTaken'>): Operation {
    const { database, clock } = this.#around
    const { mind } = this.#relay
    return {
      kind: 'endTaken',
      hasEffect: false,
      effect: () => database.endTaken(`${session}/${take}`, losses),
      answer: () => mind.takeEnded(take),
      fail: () => mind.endTakenFailed(take, clock.now),
    }
  }
}
