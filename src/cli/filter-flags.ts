import { InvalidArgumentError, Option, type Command } from 'commander'
import { durationOf } from '../app/settings-value.ts'
import { deadReasons, type DeadReason } from '../ports/dead-letters.ts'
import { type DeadLetterSelection, type KeySelection, longestAgoMs } from '../app/operator-filters.ts'
import { keyStates, type KeyState } from '../ports/keys.ts'

/** What the flags of {@link addFilterFlags} give. */
export interface FilterFlags extends Record<string, unknown> {
  readonly channel?: string
  readonly consumer?: string
  readonly key?: string
  readonly id?: readonly string[]
  readonly olderThan?: number
  readonly newerThan?: number
  readonly reason?: DeadReason
  readonly state?: KeyState
  readonly all?: boolean
}

const uuid = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/iu

/** Gives a command the flags by which dead letters, or held keys, are chosen. */
export function addFilterFlags(command: Command, of: 'dead' | 'keys'): Command {
  const id = of === 'dead' ? 'number of a dead letter, or id of its message' : 'id of the message that fails'
  const age = of === 'dead' ? 'given up' : 'failed last'
  command
    .optionsGroup('Which (those that fit all that is given):')
    .option('--channel <name>', 'of this channel')
    .option('--consumer <name>', "of this consumer; '' for what the relay itself gave up")
    .option('--key <text>', 'of this key')
    .addOption(new Option('--id <id...>', id).argParser(collectIds(of)))
    .addOption(
      new Option('--older-than <duration>', `${age} longer ago, as in 7d, 2h, 30min`).argParser(duration),
    )
    .addOption(new Option('--newer-than <duration>', `${age} since then`).argParser(duration))
  command.addOption(
    of === 'dead'
      ? new Option('--reason <word>', 'given up for this reason').choices(deadReasons)
      : new Option('--state <word>', 'in this state').choices(keyStates),
  )
  return command
}

export function deadLetterSelection(flags: FilterFlags, command: Command): DeadLetterSelection {
  const ids = flags.id?.filter((each) => uuid.test(each))
  const numbers = flags.id?.filter((each) => !uuid.test(each)).map(Number)
  if (ids !== undefined && numbers !== undefined && ids.length > 0 && numbers.length > 0) {
    command.error('error: --id takes numbers or ids of messages, not both at once.')
  }
  return {
    ...common(flags),
    ...(ids !== undefined && ids.length > 0 && { ids }),
    ...(numbers !== undefined && numbers.length > 0 && { numbers }),
    ...(flags.reason !== undefined && { reason: flags.reason }),
  }
}

export function keySelection(flags: FilterFlags): KeySelection {
  return {
    ...common(flags),
    ...(flags.id !== undefined && { ids: flags.id }),
    ...(flags.state !== undefined && { state: flags.state }),
  }
}

function common({ channel, consumer, key, olderThan, newerThan, all }: FilterFlags): KeySelection {
  return {
    ...(channel !== undefined && { channel }),
    ...(consumer !== undefined && { consumer }),
    ...(key !== undefined && { key }),
    ...(olderThan !== undefined && { olderThanMs: olderThan }),
    ...(newerThan !== undefined && { newerThanMs: newerThan }),
    ...(all === true && { all: true }),
  }
}

function collectIds(of: 'dead' | 'keys') {
  return (text: string, before: readonly string[] | undefined): readonly string[] => {
    if (!uuid.test(text) && !(of === 'dead' && /^\d{1,15}$/u.test(text))) {
      throw new InvalidArgumentError(
        of === 'dead' ? 'It takes a number from `waybill dead list`, or a UUID.' : 'It takes a UUID.',
      )
    }
    return [...(before ?? []), text]
  }
}

function duration(text: string): number {
  const ms = durationOf(text)
  if (ms === undefined || ms > longestAgoMs)
    throw new InvalidArgumentError('It takes a time such as 7d, 2h, 30min or 45s, of 100 years at most.')
  return ms
}

/** What changes something must be told what: a filter that was forgotten is a wrong command line. */
export function mustName(selection: object, command: Command): void {
  if (Object.keys(selection).length > 0) return
  command.error('error: Nothing is named. Narrow it by --channel, --key, --id or the like, or give --all.')
}

/** A whole number from 1 to `most`. */
export function wholeNumber(most: number): (text: string) => number {
  return (text) => {
    const value = Number(text)
    if (/^\d+$/u.test(text) && value >= 1 && value <= most) return value
    throw new InvalidArgumentError(`It takes a whole number from 1 to ${most}.`)
  }
}
