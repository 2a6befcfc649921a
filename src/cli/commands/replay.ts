import { InvalidArgumentError, Option, type Command } from 'commander'
import { longestAgoMs } from '../../app/operator-filters.ts'
import type { Moment, SentReplayReport, SentSelection } from '../../app/sent.ts'
import { durationOf } from '../../app/settings-value.ts'
import { addConfirmFlags, type ConfirmFlags, confirmed } from '../confirm.ts'
import { exitCodes } from '../failure.ts'
import { mustName } from '../filter-flags.ts'
import { Output } from '../output.ts'
import { addSettingFlags } from '../settings-flags.ts'
import { stoppable } from '../stoppable.ts'
import { withWaybill } from '../with-waybill.ts'

interface ReplayFlags extends ConfirmFlags, Record<string, unknown> {
  readonly json?: boolean
  readonly config?: string
  readonly channel?: string
  readonly key?: string
  readonly since?: Moment
  readonly until?: Moment
  readonly asNew?: boolean
  readonly all?: boolean
}

export function addReplay(program: Command, onExitCode: (code: number) => void): void {
  const command = program
    .command('replay')
    .description('send messages again that were sent before and are kept (retainMs)')
    .option('--config <file>', 'configuration file (default: waybill.config.ts in this folder)')
    .optionsGroup('Which (those that fit all that is given):')
    .option('--channel <name>', 'of this channel')
    .option('--key <text>', 'of this key')
    .addOption(
      new Option(
        '--since <when>',
        'sent at that time or later: 2026-11-27T08:00Z, or 2h for so long ago',
      ).argParser(moment),
    )
    .addOption(
      new Option('--until <when>', 'sent before that time, given likewise (default: now)').argParser(moment),
    )
    .optionsGroup('How:')
    .option('--as-new', 'copies with new ids, the old one in the header waybill-replay-of')
  addSettingFlags(addConfirmFlags(command))
    .addHelpText(
      'after',
      '\nMessages go again with their ids, each key in its old order, under new numbers: behind what waits already. A consumer with an\n' +
        'inbox passes by what it has (within inboxRetentionMs) and handles what it lacks. With --as-new every consumer handles them, as\n' +
        'messages of their own. Without it what was replayed is no longer kept until it has been sent again, so a second call\n' +
        'finds nothing. Messages that were given up are not kept here: `waybill dead replay`.\n' +
        '\nExamples:\n  $ waybill replay --channel orders.placed --since 2h --dry-run\n' +
        '  $ waybill replay --channel orders.placed --key ann --since 7d\n' +
        '  $ waybill replay --since 2026-11-27T08:00Z --until 2026-11-27T09:30Z --count 1432 --json\n',
    )
    .action(async (_own: unknown, self: Command) => {
      const flags = self.optsWithGlobals<ReplayFlags>()
      await replay(self, flags, new Output(flags.json === true), onExitCode)
    })
}

async function replay(
  self: Command,
  flags: ReplayFlags,
  output: Output,
  onExitCode: (code: number) => void,
): Promise<void> {
  const selection = selectionOf(flags)
  mustName(selection, self)
  await withWaybill(flags, async ({ sent }) => {
    const count = await sent.count(selection)
    if (count === 0) {
      output.say(
        'No message that is kept fits. Messages are kept after they were sent only where retainMs is set.',
      )
      output.result({ found: 0, changed: false })
      return
    }
    if (flags.dryRun === true) {
      output.say(
        `It would send ${messages(count)} again${flags.asNew === true ? ', as new ones' : ''}. Nothing was changed.`,
      )
      output.result({ found: count, changed: false })
      return
    }
    if (!(await confirmed(self, output, flags, count, count === 1 ? 'message' : 'messages'))) {
      output.note('Nothing was changed.')
      onExitCode(exitCodes.failed)
      return
    }
    const onProgress = ({ replayed }: SentReplayReport): void => output.note(`${replayed} of ${count}`)
    const report = await stoppable(output, onExitCode, async (signal) => {
      const done = await sent.replay(selection, { asNew: flags.asNew, signal, onProgress })
      if (done.unroutable > 0) onExitCode(exitCodes.failed)
      return done
    })
    output.say(said(report).join('\n'))
    output.result({ found: count, changed: report.replayed > 0, ...report })
  })
}

function said({ replayed, known, unroutable }: SentReplayReport): readonly string[] {
  const lines = [`Replayed: ${messages(replayed)}.`]
  if (known > 0) {
    lines.push(
      `${messages(known)} stay: every local consumer has them in its inbox. --as-new sends them as messages of their own.`,
    )
  }
  if (unroutable > 0) {
    lines.push(
      `${messages(unroutable)} stay: their channel is not registered any more, or sends at most once now.`,
    )
  }
  return lines
}

function messages(count: number): string {
  return count === 1 ? '1 message' : `${count} messages`
}

function selectionOf({ channel, key, since, until, all }: ReplayFlags): SentSelection {
  return {
    ...(channel !== undefined && { channel }),
    ...(key !== undefined && { key }),
    ...(since !== undefined && { since }),
    ...(until !== undefined && { until }),
    ...(all === true && { all: true }),
  }
}

/** With a time zone: a time without one would be another on another machine. */
const dated = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}:\d{2})$/u

function moment(text: string): Moment {
  const at = new Date(text)
  if (dated.test(text) && !Number.isNaN(at.getTime())) {
    if (isDay(text)) return at
    throw new InvalidArgumentError(`There is no ${text.slice(0, 10)} in the calendar.`)
  }
  const agoMs = durationOf(text)
  if (agoMs !== undefined && agoMs <= longestAgoMs) return { agoMs }
  throw new InvalidArgumentError(
    'It takes a time with its zone such as 2026-11-27T08:00Z, or how long ago: 7d, 2h, 30min.',
  )
}

/** `Date` takes the 30th of February for one of the first days of March. */
function isDay(text: string): boolean {
  const day = text.slice(0, 10)
  return new Date(`${day}T00:00Z`).toISOString().startsWith(day)
}
