import { readFileSync } from 'node:fs'
import { Command, CommanderError } from 'commander'
import { exitCodes, tellFailure } from './failure.ts'
import { Output } from './output.ts'
import { keepHeapSmall } from './small-heap.ts'

type AddCommand = (program: Command, onExitCode: (code: number) => void) => void

/**
 * In the order of the help. Loaded one by one: what another command needs would stay in the memory of a relay, which runs for
 * months.
 */
const commands: Readonly<Record<string, () => Promise<AddCommand>>> = {
  demo: async () => (await import('./commands/demo.ts')).addDemo,
  prove: async () => (await import('./commands/prove.ts')).addProve,
  advise: async () => (await import('./commands/advise.ts')).addAdvise,
  migrate: async () => (await import('./commands/migrate.ts')).addMigrate,
  explain: async () => (await import('./commands/explain.ts')).addExplain,
  'check-idempotency': async () => (await import('./commands/check-idempotency.ts')).addCheckIdempotency,
  relay: async () => {
    // Before anything else is loaded, which would grow it.
    keepHeapSmall()
    return (await import('./commands/relay.ts')).addRelay
  },
  status: async () => (await import('./commands/status.ts')).addStatus,
  dead: async () => (await import('./commands/dead.ts')).addDead,
  keys: async () => (await import('./commands/keys.ts')).addKeys,
  replay: async () => (await import('./commands/replay.ts')).addReplay,
  cleanup: async () => (await import('./commands/cleanup.ts')).addCleanup,
  unsubscribe: async () => (await import('./commands/unsubscribe.ts')).addUnsubscribe,
}

/** Runs one command line; resolves with the exit code. */
export async function runCli(args: readonly string[]): Promise<number> {
  const ended = { code: 0 }
  const program = await createProgram(args[0], (code) => {
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

/** With the command that is named first; with all of them where that is an option, or nothing. */
async function createProgram(
  first: string | undefined,
  onExitCode: (code: number) => void,
): Promise<Command> {
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
  const named = first !== undefined && Object.hasOwn(commands, first) ? [first] : Object.keys(commands)
  for (const name of named) (await commands[name]!())(program, onExitCode)
  // A command inherits these only when it is made by `program.command`, before which they are set.
  return program
}

function version(): string {
  const file = new URL('../../package.json', import.meta.url)
  return (JSON.parse(readFileSync(file, 'utf8')) as { readonly version: string }).version
}
