import { resolve } from 'node:path'
import type { Command } from 'commander'
import { isWaybillError } from '../../kernel/errors.ts'
import { checkHandlers, type HandlersReport } from '../../testing/idempotency-handlers.ts'
import { exitCodes, tellFailure } from '../failure.ts'
import { parseCount, parseNames, readMessagesText } from '../handler-flags.ts'
import { idempotencySummary } from '../idempotency-summary.ts'
import { listenForInterruption } from '../interruption.ts'
import { Output } from '../output.ts'
import { addSettingFlags, settingFlags } from '../settings-flags.ts'

interface CheckFlags extends Record<string, unknown> {
  readonly json?: boolean
  readonly config?: string
  readonly handlers: string
  readonly tables: readonly string[]
  readonly messages: string
  readonly ignore: readonly string[]
  readonly channel?: string
  readonly consumer?: string
  readonly maxRows: number
  readonly rounds: number
  readonly showRows?: boolean
}

const help = `
What it does: copies the tables named into a schema of its own and runs each handler on the copies, each time from the same
state: once (the reference), once again, twice, twice at the same time, again after a crash before the commit, again in a new
process after a lost settlement. Every difference from the reference, in the tables or in what was published, is reported.

How it stays off your data: a handler's transaction finds the copies because search_path begins with their schema. PostgreSQL
refuses the commit of a transaction that wrote anything but the copies, or read an original of them: the verdict is then
unknown. Nothing is sent: what the handler publishes is only noted. But what a handler does outside its transaction (another
connection, HTTP, mail) is done for real, as is drawing from a sequence of a table that is not named: use a database for tests.

What it can find: twice at the same time, both transactions run to their end before either commits (or until one waits for the
other's lock), so that a check without a constraint is found whenever its message meets it. What it cannot: a fault that
needs another order of statements, messages that you did not give, effects outside the tables.

What is not compared, and listed in the report: identity columns, columns whose default is a time, a random value or a
sequence, foreign keys to such; and --ignore. The copies have constraints and indexes, and no triggers and foreign keys.

The verdict is idempotent (exit code 0), not idempotent (1), or unknown (1): the handler failed already when run once, changed
nothing in the tables named, left the copies, or two single runs differ.

The module of handlers registers them as the service does, on the instance it gets:
  export default (waybill) => { waybill.consume(orders, { consumer: 'shipping' }, ship) }

Messages, a line each: {"channel": "orders.placed", "payload": {"id": 7}, "key": "c-1"}
Only the payload must be there where the handlers are of one channel; it is checked as publish() checks it.
Those of channels that are not asked for are left out.

Examples:
  $ waybill check-idempotency --handlers handlers.ts --tables shipments --messages orders.ndjson
  $ echo '{"payload": {"id": 7}}' | waybill check-idempotency --handlers handlers.ts --tables shipments --messages - --json
`

export function addCheckIdempotency(program: Command, onExitCode: (code: number) => void): void {
  const command = program
    .command('check-idempotency')
    .description(
      'run handlers twice, at the same time and after crashes, on copies of their tables, and compare',
    )
    .requiredOption('--handlers <file>', 'module whose default export registers them')
    .requiredOption('--tables <name,...>', 'tables that the handlers write', parseNames)
    .requiredOption('--messages <file>', 'example messages, a line of JSON each; - for stdin')
    .option('--config <file>', 'configuration file (default: waybill.config.ts in this folder)')
    .option('--channel <name>', 'only the handlers of this channel')
    .option('--consumer <name>', 'only the handlers of this consumer')
    .option('--ignore <table.column,...>', 'columns that may differ between runs', parseNames, [])
    .option('--rounds <number>', 'how often the two run at the same time', parseCount, 2)
    .option('--max-rows <number>', 'rows of a table that are copied at most', parseCount, 100_000)
    .option('--show-rows', 'also print the first differing row: its values, not only its key')
    .addHelpText('after', help)
    .action(async (_own: unknown, self: Command) => {
      onExitCode(await check(self.optsWithGlobals<CheckFlags>()))
    })
  addSettingFlags(command)
}

async function check(flags: CheckFlags): Promise<number> {
  const output = new Output(flags.json === true)
  const interruption = listenForInterruption(() => {
    output.note('Stopping, and removing the copies. Once more to stop at once.')
  })
  try {
    const report: HandlersReport = await checkHandlers({
      ...flags,
      config: flags.config,
      channel: flags.channel,
      consumer: flags.consumer,
      flags: settingFlags(flags),
      handlers: resolve(flags.handlers),
      messages: await readMessagesText(flags.messages),
      showRows: flags.showRows === true,
      signal: interruption.signal,
      onProgress: (line) => {
        output.note(line)
      },
    })
    output.say(idempotencySummary(report, output.colors))
    output.result(report)
    return report.verdict === 'idempotent' ? 0 : exitCodes.failed
  } catch (error) {
    const code = interruption.exitCode()
    if (code !== undefined) {
      output.note('Stopped before its end.')
      output.result({ error: { code: 'WB_ABORTED', message: 'stopped before its end' } })
      return code
    }
    const isUsage = isWaybillError(error) && error.code === 'WB_INVALID_OPTION'
    const failed = tellFailure(output, error)
    return isUsage ? exitCodes.usage : failed
  } finally {
    interruption.dispose()
  }
}
