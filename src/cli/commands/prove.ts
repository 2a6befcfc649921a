import { randomInt } from 'node:crypto'
import { InvalidArgumentError, Option, type Command } from 'commander'
import { guarantees, type Guarantee } from '../../guarantees/guarantees.ts'
import { didYouMean } from '../../kernel/suggest.ts'
import { faultClasses } from '../../prove/catalog.ts'
import { faultWords, isFaultChoice } from '../../prove/fault-choice.ts'
import type { ProofReport } from '../../prove/report.ts'
import type { Remnants } from '../../prove/remnants.ts'
import { runProof } from '../../prove/run.ts'
import type { ProofView } from '../../prove/view.ts'
import { describeError, type ErrorCode, isWaybillError } from '../../kernel/errors.ts'
import { exitCodes, tellFailure } from '../failure.ts'
import type { Interruption } from '../interruption.ts'
import { Output } from '../output.ts'
import { checkDatabaseUrl, parseBrokers, parseSeed } from '../play-flags.ts'
import { played } from '../played.ts'
import { createProofDisplay, type ProofDisplay } from '../proof-display.ts'
import { serversOfTheirs, startProofServers } from '../proof-servers.ts'
import { proofText } from '../proof-text.ts'
import {
  addServiceFlags,
  provesService,
  refuseMixed,
  type ServiceFlags,
  serviceFlagsText,
  serviceHelp,
  withSubject,
} from '../prove-service.ts'

interface ProveFlags extends ServiceFlags {
  readonly json?: boolean
  readonly transport: (typeof transports)[number]
  readonly brokers?: readonly string[]
  readonly guarantee: readonly Guarantee[]
  readonly faults: readonly string[]
  readonly seconds: number
  readonly seed?: number
  readonly databaseUrl?: string
}

/** What there is an adapter of. */
const transports = ['local', 'kafka'] as const
const stores = ['postgres'] as const

const examples = `
Writers, relays and consumers, each a process of its own, work without a fault first, and then with one fault after the
other: killed and stopped processes, killed and stopped servers, a network that cuts, delays, loses and lies, sessions
that are ended, clocks that jump, a disk that is full. Then everything is mended and drained, and what happened is judged by each guarantee.
${serviceHelp}
Examples:
  $ waybill prove                                    all guarantees on an embedded PostgreSQL, in a minute
  $ waybill prove --guarantee exactly-once --faults kill,network
  $ waybill prove --seconds 600 --seed 7             longer, and the same chances as in a run before
  $ waybill prove --transport kafka --seconds 180    over Kafka (needs Java 17 and Maven, or --brokers)
  $ waybill prove --database-url postgres://me@localhost/shop    (its server is neither killed nor stopped)
  $ waybill prove --config waybill.config.ts         your channels, on your servers
  $ waybill prove --handlers handlers.ts --tables shipments --messages orders.ndjson
  $ waybill prove --json                             one line for a script; 0 only if every row holds
`

export function addProve(program: Command, onExitCode: (code: number) => void): void {
  const command = program
    .command('prove')
    .description(
      'show that each guarantee holds while things break, or the first message of which it does not',
    )
    .addOption(
      new Option('--transport <name>', `how messages travel (${transports.join(', ')})`)
        .argParser(oneOf('transport', transports))
        .default('local'),
    )
    .addOption(
      new Option('--store <name>', `where they wait (${stores.join(', ')})`)
        .argParser(oneOf('store', stores))
        .default('postgres'),
    )
    .addOption(
      new Option('--brokers <host:port,...>', 'a Kafka of yours, in topics that are removed at the end')
        .argParser(parseBrokers)
        .implies({ transport: 'kafka' }),
    )
    .addOption(
      new Option('--guarantee <names>', `which, with commas between them (${guarantees.join(', ')})`)
        .argParser(listOf('guarantee', guarantees))
        .default(guarantees, 'all'),
    )
    .addOption(
      new Option(
        '--faults <names>',
        `which, with commas between them: classes (${faultClasses.join(', ')}), or names as the report has them`,
      )
        .argParser(parseFaults)
        .default(faultClasses, 'all'),
    )
    .option(
      '--seconds <number>',
      'the whole time; faults that do not fit are told as not run',
      parseSeconds,
      60,
    )
    .option('--seed <number>', 'repeat the same chances: who writes what, which fault comes when', parseSeed)
    .option('--database-url <url>', 'a PostgreSQL of yours, in schemas that are removed at the end')
    .addHelpText('after', examples)
    .action(async (_own: unknown, self: Command) => {
      const flags = self.optsWithGlobals<ProveFlags>()
      checkDatabaseUrl(flags.databaseUrl, self)
      if (flags.brokers !== undefined && flags.transport === 'local')
        self.error('error: --brokers goes with --transport kafka')
      refuseMixed(self)
      onExitCode(await prove(flags))
    })
  addServiceFlags(command)
}

/** A flag or a file is wrong, and nothing was proven or disproven. */
const wrongInput: ReadonlySet<ErrorCode> = new Set(['WB_INVALID_OPTION', 'WB_INVALID_CONFIG'])

async function prove(flags: ProveFlags): Promise<number> {
  const output = new Output(flags.json === true)
  const title = provesService(flags) ? 'your configuration' : flags.transport
  const display = createProofDisplay(output, `waybill prove · ${title}`)
  try {
    return await played(
      output,
      display,
      async (interruption) => {
        const report = await play(flags, output, display, interruption)
        return { ...report, replay: replayText(flags, report.seed) }
      },
      (report) => proofText(report, output.sheet),
    )
  } catch (error) {
    if (!isWaybillError(error) || !wrongInput.has(error.code)) throw error
    tellFailure(output, error)
    return exitCodes.usage
  }
}

async function play(
  flags: ProveFlags,
  output: Output,
  display: ProofDisplay,
  { signal }: Interruption,
): Promise<ProofReport> {
  const { guarantee, faults, seconds, seed, transport, databaseUrl, brokers } = flags
  const course = {
    guarantees: guarantee,
    faults,
    seconds,
    seed: seed ?? randomInt(2 ** 31),
    signal,
    onView: (view: ProofView) => {
      if (!signal.aborted) display.show(view)
    },
    onLeftBehind: (what: string, error: unknown) => {
      output.note(`Could not remove ${what}: ${describeError(error).message}`)
    },
    onRemnants: ({ schemas, runs }: Remnants) => {
      if (schemas.length > 0)
        output.note(
          `Schemas of proofs of which no process is connected any more, as after a kill. To remove them: drop schema ${schemas.join(', ')} cascade;`,
        )
      if (runs.length > 0)
        output.note(
          `The brokers have topics and groups of proofs of which no consumer is there any more, as after a kill. Unless one of them is just starting, ` +
            `remove what is named ${runs.map((run) => `${run}*`).join(', ')}: kafka-topics --delete --topic '(${runs.join('|')}).*'`,
        )
    },
  }
  const note = (line: string): void => {
    output.note(line)
  }
  if (provesService(flags))
    return await withSubject(flags, note, (subject) =>
      runProof({ ...course, ...serversOfTheirs(subject.service), subject }),
    )
  const wishes = { transport, databaseUrl, brokers, faults, seconds }
  const { stop, ...servers } = await startProofServers(wishes, signal)
  try {
    return await runProof({ ...servers, ...course })
  } finally {
    await stop()
  }
}

/** The command that has the same chances again. What may hold a password is named, not told. */
function replayText(flags: ProveFlags, seed: number): string {
  const { transport, brokers, guarantee, faults, seconds, databaseUrl } = flags
  return [
    'waybill prove',
    ...(provesService(flags) ? serviceFlagsText(flags) : []),
    ...(transport === 'local' ? [] : [`--transport ${transport}`]),
    ...(brokers === undefined ? [] : [`--brokers ${brokers.join(',')}`]),
    ...(guarantee.length < guarantees.length ? [`--guarantee ${guarantee.join(',')}`] : []),
    ...(faults === faultClasses ? [] : [`--faults ${quoted(faults.join(','))}`]),
    ...(databaseUrl === undefined ? [] : ['--database-url <the same>']),
    `--seconds ${seconds} --seed ${seed}`,
  ].join(' ')
}

function quoted(text: string): string {
  return /[^\w,.-]/u.test(text) ? `'${text}'` : text
}

function parseFaults(text: string): readonly string[] {
  const names = text.split(',').map((name) => name.trim())
  for (const name of names) {
    if (!isFaultChoice(name))
      throw new InvalidArgumentError(
        `"${name}" is no fault, and no class of them.${didYouMean(name, faultWords)}`,
      )
  }
  return names
}

function oneOf<T extends string>(what: string, known: readonly T[]): (text: string) => T {
  return (text) => {
    const found = known.find((one) => one === text)
    if (found !== undefined) return found
    throw new InvalidArgumentError(
      `There is no adapter for the ${what} "${text}"; there is: ${known.join(', ')}.${didYouMean(text, known)}`,
    )
  }
}

function listOf<T extends string>(what: string, known: readonly T[]): (text: string) => readonly T[] {
  return (text) => {
    const names = text.split(',').map((name) => name.trim())
    return names.map((name) => {
      const found = known.find((one) => one === name)
      if (found !== undefined) return found
      throw new InvalidArgumentError(`"${name}" is no ${what}.${didYouMean(name, known)}`)
    })
  }
}

function parseSeconds(text: string): number {
  const seconds = Number(text)
  if (text.trim() === '' || !(seconds >= 15 && seconds <= 86_400))
    throw new InvalidArgumentError('It takes a number from 15 to 86400.')
  return seconds
}
