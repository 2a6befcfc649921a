import { randomInt } from 'node:crypto'
import { InvalidArgumentError, Option, type Command } from 'commander'
import { describeError, WaybillError } from '../../kernel/errors.ts'
import { runDemo } from '../../demo/run.ts'
import type { LeftOut } from '../../demo/settings.ts'
import type { DemoReport } from '../../demo/report.ts'
import { createDisplay, type DemoDisplay } from '../demo-display.ts'
import { startServers, type DemoServers } from '../demo-servers.ts'
import { summary } from '../demo-summary.ts'
import type { Interruption } from '../interruption.ts'
import { checkDatabaseUrl, parseBrokers, parseSeed } from '../play-flags.ts'
import { played } from '../played.ts'
import { Output } from '../output.ts'

interface DemoFlags {
  readonly json?: boolean
  readonly seconds: number
  readonly kill: boolean
  readonly transport: 'local' | 'kafka'
  readonly brokers?: readonly string[]
  readonly databaseUrl?: string
  readonly without?: LeftOut
  readonly seed?: number
}

const examples = `
A shop places orders, two shipping processes ship them; each is a process of its own, and once a second one of them
is killed (SIGKILL) and started again. At the end every committed order must have exactly one shipment.

Examples:
  $ waybill demo                            embedded PostgreSQL, no broker
  $ waybill demo --transport kafka          with two relays and Kafka (needs Java 17 and Maven, or --brokers)
  $ waybill demo --without inbox            see what breaks without it: shipments twice
  $ waybill demo --without outbox           ... and without that: orders lost, and ghosts
  $ waybill demo --database-url postgres://me@localhost/shop
  $ waybill demo --seconds 30 --json        one line for a script; the exit code is 0 if the verdict is valid
`

export function addDemo(program: Command, onExitCode: (code: number) => void): void {
  program
    .command('demo')
    .description('watch orders become shipments exactly once while processes are killed')
    .option(
      '--seconds <number>',
      'how long orders are placed; up to a minute more where hardly any is or somebody is not killed yet',
      parseSeconds,
      15,
    )
    .option('--no-kill', 'kill nobody')
    .addOption(
      new Option('--transport <name>', 'how messages travel').choices(['local', 'kafka']).default('local'),
    )
    .addOption(
      new Option('--brokers <host:port,...>', 'a Kafka of yours in place of a started one')
        .argParser(parseBrokers)
        .implies({ transport: 'kafka' }),
    )
    .option('--database-url <url>', 'a PostgreSQL of yours, in schemas that are removed at the end')
    .addOption(
      new Option('--without <part>', 'leave a half out, to see what it is for').choices(['inbox', 'outbox']),
    )
    .option(
      '--seed <number>',
      'repeat the same chances: who is killed, who orders (default: by chance)',
      parseSeed,
    )
    .addHelpText('after', examples)
    .action(async (_own: unknown, self: Command) => {
      onExitCode(await demo(self.optsWithGlobals<DemoFlags>(), self))
    })
}

async function demo(flags: DemoFlags, command: Command): Promise<number> {
  if (flags.brokers !== undefined && flags.transport === 'local') {
    command.error('error: --brokers goes with --transport kafka')
  }
  checkDatabaseUrl(flags.databaseUrl, command)
  const output = new Output(flags.json === true)
  const parts = flags.without === undefined ? '' : ` without ${flags.without}`
  const display = createDisplay(output, `waybill demo · ${flags.transport}${parts}`)
  return await played(
    output,
    display,
    (interruption) => play(flags, output, display, interruption),
    (report) => summary(report, output.colors),
  )
}

async function play(
  flags: DemoFlags,
  output: Output,
  display: DemoDisplay,
  { signal }: Interruption,
): Promise<DemoReport> {
  const { transport, databaseUrl, brokers } = flags
  output.note(startingText(flags))
  const servers: DemoServers = await startServers({ transport, databaseUrl, brokers }, signal)
  try {
    if (signal.aborted)
      throw new WaybillError('WB_ABORTED', 'The demo was stopped while its servers started.')
    return await runDemo({
      databaseUrl: servers.databaseUrl,
      brokers: servers.brokers,
      sessionTimeoutMs: servers.sessionTimeoutMs,
      seconds: flags.seconds,
      isKilling: flags.kill,
      without: flags.without ?? null,
      seed: flags.seed ?? randomInt(2 ** 31),
      signal,
      onView: (view) => {
        if (!signal.aborted) display.show(view)
      },
      onLeftBehind: (what, error) => {
        output.note(`Could not remove ${what}: ${describeError(error).message}`)
      },
    })
  } finally {
    await servers.stop()
  }
}

function startingText({ databaseUrl, transport, brokers }: DemoFlags): string {
  const started = [
    ...(databaseUrl === undefined ? ['an embedded PostgreSQL'] : []),
    ...(transport === 'kafka' && brokers === undefined
      ? ['Kafka (the first time its jars are fetched)']
      : []),
  ]
  return started.length === 0 ? 'Using the servers given.' : `Starting ${started.join(' and ')} ...`
}

function parseSeconds(text: string): number {
  const seconds = Number(text)
  if (text.trim() === '' || !(seconds >= 1 && seconds <= 3600)) {
    throw new InvalidArgumentError('It takes a number from 1 to 3600.')
  }
  return seconds
}
