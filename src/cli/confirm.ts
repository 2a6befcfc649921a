import type { Readable, Writable } from 'node:stream'
import { isCancel, text } from '@clack/prompts'
import { Option, type Command } from 'commander'
import { WaybillError } from '../kernel/errors.ts'
import { wholeNumber } from './filter-flags.ts'
import type { Output } from './output.ts'

/** Where the question is asked: what the command says goes to stdout. */
export interface ConfirmTerminal {
  readonly input: Readable & { readonly isTTY?: boolean }
  readonly output: Writable & { readonly isTTY?: boolean }
}

export interface ConfirmFlags {
  readonly dryRun?: boolean
  readonly yes?: boolean
  readonly count?: number
}

/** Gives a command that changes something the flags by which it is let to; one that is told by flags what is meant also takes all. */
export function addConfirmFlags(command: Command, isChosen: 'by flags' | 'by name' = 'by flags'): Command {
  command.optionsGroup('Before it changes anything:')
  if (isChosen === 'by flags')
    command.option('--all', 'all there are; without it at least one of the flags above is needed')
  return command
    .option('--dry-run', 'tell what it would do, and change nothing')
    .option('--yes', 'do not ask')
    .addOption(
      new Option('--count <number>', 'do not ask, where it is exactly so many').argParser(
        wholeNumber(Number.MAX_SAFE_INTEGER),
      ),
    )
}

/**
 * Whether to go on with what concerns `count` of `what`, told before. Asks on a terminal for the number to be typed; elsewhere the
 * flags must say so, or the command line is wrong.
 */
export async function confirmed(
  command: Command,
  output: Output,
  { yes, count: expected }: ConfirmFlags,
  count: number,
  what: string,
  terminal: ConfirmTerminal = { input: process.stdin, output: process.stderr },
): Promise<boolean> {
  if (expected !== undefined) {
    if (expected === count) return true
    throw new WaybillError(
      'WB_INVALID_OPTION',
      `It is ${count} ${what}, not ${expected}: nothing was changed. Look again with --dry-run.`,
    )
  }
  if (yes === true) return true
  if (output.isJson || terminal.input.isTTY !== true || terminal.output.isTTY !== true) {
    command.error(
      `error: It concerns ${count} ${what}, and nobody can be asked here. Give --count ${count} or --yes; --dry-run only tells.`,
    )
  }
  const answer = await text({
    ...terminal,
    message: `Type ${count} to go on.`,
    validate: (value) => (value === String(count) ? undefined : `It takes ${count}; Ctrl-C changes nothing.`),
  })
  return !isCancel(answer)
}
