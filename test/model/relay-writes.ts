import type { FollowerOutcome, RowRef } from '../../src/ports/outbox.ts'
import type { Command } from '../../src/relay/mind/types.ts'
import type { Coverage } from './coverage.ts'
import type { Database } from './database.ts'

export type WriteCommand = Extract<Command, { type: 'block' | 'bury' | 'move' | 'lose' }>

export function rowsOf(command: WriteCommand): readonly (RowRef & { readonly epoch: bigint })[] {
  if (command.type === 'block') return command.lines
  return command.type === 'bury' ? command.letters : command.rows
}

export function carryOut(database: Database, command: WriteCommand, now: number): FollowerOutcome[] {
  switch (command.type) {
    case 'block':
      return database.block(command.lines, now)
    case 'bury':
      return database.bury(command.letters)
    case 'move':
      return database.moveFollowers(command.rows)
    case 'lose':
      return database.lose(command.rows)
  }
}

export function countWrite(
  coverage: Coverage,
  command: WriteCommand,
  outcomes: readonly FollowerOutcome[],
): void {
  coverage.saw('row gone', outcomes.filter((outcome) => outcome === 'gone').length)
  coverage.saw('follower found its line gone', outcomes.filter((outcome) => outcome === 'unparked').length)
  outcomes.forEach((outcome, i) => {
    if (outcome !== 'written') return
    if (command.type === 'bury') {
      const { reason, parks } = command.letters[i]!
      coverage.saw(reason === 'rejected' ? 'dead: rejected' : 'dead: attempts exhausted')
      if (parks === true) coverage.saw('key parked')
    } else if (command.type === 'block') {
      const { attempts, errorCode, retryInMs } = command.lines[i]!
      coverage.saw(retryInMs === null ? 'key blocked' : attempts > 1 ? 'line renewed' : 'line written')
      if (errorCode === 'NO_ANSWER') coverage.saw('unknown alone counted')
    } else if (command.type === 'move') coverage.saw('follower moved')
    else if (command.rows[i]!.cause === 'expired') coverage.saw('expired')
    else if (command.rows[i]!.cause === 'expired-in-doubt') coverage.saw('expired in doubt')
  })
}
