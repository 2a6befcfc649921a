import type { Command } from 'commander'
import { createLogUpdate } from 'log-update'
import type { StatusSummary } from '../../app/inspection/summary.ts'
import { createWaybill } from '../../app/create-waybill.ts'
import { systemClock } from '../../kernel/clock.ts'
import { loadConfig } from '../config-file.ts'
import { exitCodes } from '../failure.ts'
import { listenForInterruption } from '../interruption.ts'
import { Output } from '../output.ts'
import { readerGone } from '../reader-gone.ts'
import { addSettingFlags, settingFlags } from '../settings-flags.ts'
import { statusText } from '../status-text.ts'

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
    .option('--watch', 'look again every 2 seconds until Ctrl-C; with --json a line for each look')
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
  const interruption = listenForInterruption(() => {})
  const end = AbortSignal.any([interruption.signal, readerGone(process.stdout)])
  const paint = process.stdout.isTTY && !output.isJson ? createLogUpdate(process.stdout) : undefined
  let isFine = true
  try {
    while (!end.aborted) {
      const summary = await waybill.inspect()
      isFine = !hasWarning(summary)
      const text = output.isJson ? '' : statusText(summary, output.page)
      if (paint !== undefined) paint(text)
      else if (!output.isJson) output.say(`${text}\n`)
      output.result(summary)
      await systemClock.sleep(pauseMs, end)
    }
  } finally {
    paint?.done()
    interruption.dispose()
  }
  return options.check === true && !isFine ? exitCodes.failed : 0
}

function hasWarning({ warnings }: StatusSummary): boolean {
  return warnings.some(({ level }) => level === 'warning')
}
