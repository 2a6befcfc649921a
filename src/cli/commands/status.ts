import type { Command } from 'commander'
import { createLogUpdate } from 'log-update'
import type { StatusSummary } from '../../app/inspection/summary.ts'
import { createWaybill } from '../../app/create-waybill.ts'
import { systemClock } from '../../kernel/clock.ts'
import type { Waybill } from '../../app/waybill.ts'
import { describeError } from '../../kernel/errors.ts'
import { loadConfig } from '../config-file.ts'
import { exitCodes, tellFailure } from '../failure.ts'
import { listenForInterruption } from '../interruption.ts'
import { wrap } from '../lines.ts'
import { Output, type Page } from '../output.ts'
import { readerGone } from '../reader-gone.ts'
import { addSettingFlags, settingFlags } from '../settings-flags.ts'
import { statusText } from '../status-text.ts'
import { visible } from '../visible.ts'

interface StatusOptions extends Record<string, unknown> {
  readonly json?: boolean
  readonly config?: string
  readonly watch?: boolean
  readonly check?: boolean
}

/** Between two looks of `--watch`. */
const pauseMs = 2000

export function addStatus(program: Command, onExitCode: (code: number) => void): void {
  const command = program
    .command('status')
    .description(
      'show what is where: per channel what waits, fails and lags; relays and what they hold; what to do',
    )
    .option('--config <file>', 'configuration file (default: waybill.config.ts in this folder)')
    .option(
      '--watch',
      'look again every 2 seconds until Ctrl-C, also through an outage; with --json a line for each look',
    )
    .option('--check', 'exit with 1 where there is a warning, which a note is not')
    .addHelpText(
      'after',
      '\nIt changes nothing, and stays cheap whatever the backlog: where more waits than it looks at, it tells "≥". Lag is the\n' +
        'age of the oldest message that is due and not delivered, by the clock of the database. What is in flight, and the\n' +
        'rate, relays tell with each renewal of their leases, so they are up to a third of leaseMs old.\n' +
        '\nExamples:\n  $ waybill status\n  $ waybill status --watch\n  $ waybill status --check --json\n',
    )
    .action(async (_own: unknown, self: Command) => {
      onExitCode(await status(self.optsWithGlobals<StatusOptions>()))
    })
  addSettingFlags(command)
}

async function status(options: StatusOptions): Promise<number> {
  const output = new Output(options.json === true)
  await using waybill = createWaybill(await loadConfig(options.config), {
    flags: settingFlags(options),
    env: process.env,
  })
  if (options.watch !== true) {
    const summary = await waybill.inspect()
    if (!output.isJson) output.say(statusText(summary, output.page))
    output.result(summary)
    return options.check === true && hasWarning(summary) ? exitCodes.failed : 0
  }
  const isFine = await watch(waybill, output)
  return options.check === true && !isFine ? exitCodes.failed : 0
}

/**
 * Looks until Ctrl-C. Whoever watches does so through a restart of the database above all, so a look that fails is told and the next one
 * comes; only the first one throws, for that is a wrong address more often. Resolves with whether the last look had nothing to warn of.
 */
async function watch(waybill: Pick<Waybill, 'inspect'>, output: Output): Promise<boolean> {
  const interruption = listenForInterruption(() => {})
  const end = AbortSignal.any([interruption.signal, readerGone(process.stdout)])
  const paint = process.stdout.isTTY && !output.isJson ? createLogUpdate(process.stdout) : undefined
  let isFine = true
  let last: string | undefined
  try {
    while (!end.aborted) {
      try {
        const summary = await waybill.inspect()
        isFine = !hasWarning(summary)
        last = output.isJson ? '' : statusText(summary, output.page)
        if (paint !== undefined) paint(last)
        else if (!output.isJson) output.say(`${last}\n`)
        output.result(summary)
      } catch (error) {
        if (end.aborted) break
        if (last === undefined) throw error
        isFine = false
        if (paint === undefined) tellFailure(output, error)
        else paint(`${last}\n\n${notSeenText(error, output.page)}`)
      }
      await systemClock.sleep(pauseMs, end)
    }
  } finally {
    paint?.done()
    interruption.dispose()
  }
  return isFine
}

/** What stands above it is the last that could be seen. */
function notSeenText(error: unknown, { colors, width }: Page): string {
  const { message } = describeError(error, 4000)
  const told = wrap(`That was before: it cannot look now, and goes on trying. ${visible(message)}`, width)
  return told.map((line) => colors.red(line)).join('\n')
}

function hasWarning({ warnings }: StatusSummary): boolean {
  return warnings.some(({ level }) => level === 'warning')
}
