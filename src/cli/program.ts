import { readFileSync } from 'node:fs'
import { Command, CommanderError } from 'commander'
import { addAdvise } from './commands/advise.ts'
import { addCheckIdempotency } from './commands/check-idempotency.ts'
import { addCleanup } from './commands/cleanup.ts'
import { addDead } from './commands/dead.ts'
import { addDemo } from './commands/demo.ts'
import { addProve } from './commands/prove.ts'
import { addExplain } from './commands/explain.ts'
import { addKeys } from './commands/keys.ts'
import { addMigrate } from './commands/migrate.ts'
import { addRelay } from './commands/relay.ts'
import { addReplay } from './commands/replay.ts'
import { addStatus } from './commands/status.ts'
import { addUnsubscribe } from './commands/unsubscribe.ts'
import { exitCodes, tellFailure } from './failure.ts'
import { Output } from './output.ts'

/** Runs one command line; resolves with the exit code. */
export async function runCli(args: readonly string[]): Promise<number> {
  const ended = { code: 0 }
  const program = createProgram((code) => {
    ended.code = code
  })
  try {
    await program.parseAsync(args, { from: 'user' })
    return ended.code
  } catch (error) {
    // Known before the command line could be read, so that a wrong one is answered in the form that was asked for.
    const output = new Output(args.includes('--json'))
    if (!(error instanceof CommanderError)) return tellFailure(output, error)
    // Help and version, where they were asked for, have been printed.
    if (error.exitCode === 0) return 0
    const message =
      error.code === 'commander.help' ? 'A command is missing.' : error.message.replace(/^error: /u, '')
    output.result({ error: { code: 'WB_INVALID_OPTION', message } })
    return exitCodes.usage
  }
}

function createProgram(onExitCode: (code: number) => void): Command {
  const program = new Command('waybill')
    .description('Message delivery guarantees, chosen per channel and kept under faults.')
    .version(version(), '-V, --version')
    .option('--json', 'print one line of JSON, the only one on stdout; all else goes to stderr')
    .helpCommand('help [command]', 'show the help of a command')
    .configureHelp({ showGlobalOptions: true, sortSubcommands: false })
    .showHelpAfterError('Run it with --help to see what there is.')
    .exitOverride()
    .addHelpText(
      'after',
      '\nFirst steps:\n  $ waybill demo         see it keep its promise while its processes are killed\n',
    )
  const commands = [
    addDemo,
    addProve,
    addAdvise,
    addMigrate,
    addExplain,
    addCheckIdempotency,
    addRelay,
    addStatus,
    addDead,
    addKeys,
    addReplay,
    addCleanup,
    addUnsubscribe,
  ]
  for (const add of commands) add(program, onExitCode)
  // A command inherits these only when it is made by `program.command`, before which they are set.
  return program
}

function version(): string {
  const file = new URL('../../package.json', import.meta.url)
  return (JSON.parse(readFileSync(file, 'utf8')) as { readonly version: string }).version
}
