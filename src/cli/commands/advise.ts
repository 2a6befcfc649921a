import { InvalidArgumentError, Option, type Command } from 'commander'
import { isName, nameRule } from '../../kernel/names.ts'
import { advise, brokers, type Answers, type Broker } from '../advice.ts'
import { adviceText } from '../advice-text.ts'
import { exitCodes } from '../failure.ts'
import { readMeasuredCosts } from '../measured-costs.ts'
import { Output } from '../output.ts'
import { askAnswers } from '../questions.ts'

interface AdviseFlags {
  readonly json?: boolean
  readonly name?: string
  readonly mayBeLost?: boolean
  readonly mayRepeat?: boolean
  readonly idempotent?: boolean
  /** `--no-transaction` makes it false; commander has it true without. */
  readonly transaction: boolean
  readonly ordered?: boolean
  readonly latency?: Answers['latency']
  readonly broker?: Broker
}

/** What Ctrl-C ends a process with: 128 and the number of SIGINT. */
const interrupted = 130

const examples = `
Without flags it asks, on a terminal. A flag that is left out means no; the broker is then local.

Examples:
  $ waybill advise
  $ waybill advise --broker kafka --ordered
  $ waybill advise --may-be-lost --latency low --broker kafka --json
`

export function addAdvise(program: Command, onExitCode: (code: number) => void): void {
  program
    .command('advise')
    .description('answer with the guarantee a channel needs, what it costs, and the definition to paste')
    .option('--name <channel>', "the channel's name", channelName)
    .option('--may-be-lost', 'a message may be lost now and then')
    .option('--may-repeat', 'its effect may be there twice')
    .addOption(
      new Option('--idempotent', 'its handler bears being run again on the same message').conflicts(
        'mayRepeat',
      ),
    )
    .option('--no-transaction', 'it is not sent in a transaction of the database')
    .option('--ordered', 'messages of one key must be handled in order')
    .addOption(
      new Option('--latency <what>', 'what counts: milliseconds or throughput').choices(['normal', 'low']),
    )
    .addOption(new Option('--broker <kind>', 'what carries it').choices(brokers))
    .addHelpText('after', examples)
    .action(async (_own: unknown, self: Command) => {
      const given = self.options.some((option) => self.getOptionValueSource(option.attributeName()) === 'cli')
      onExitCode(await run(self.optsWithGlobals<AdviseFlags>(), given))
    })
}

async function run(flags: AdviseFlags, isGiven: boolean): Promise<number> {
  const output = new Output(flags.json === true)
  if (!isGiven && !(process.stdin.isTTY && output.isLive)) {
    const message =
      'This is no terminal, so nothing can be asked: say what you need with --may-be-lost, --may-repeat or --idempotent, ' +
      `--no-transaction, --ordered, --latency low|normal, --broker ${brokers.join('|')}, --name <channel>.`
    output.note(`${output.errorColors.red('error')} ${message}`)
    output.result({ error: { code: 'WB_INVALID_OPTION', message } })
    return exitCodes.usage
  }
  // On stderr: stdout is for the answer alone.
  const answers = isGiven
    ? answersOf(flags)
    : await askAnswers({ input: process.stdin, output: process.stderr })
  if (answers === null) {
    output.note('Nothing was chosen.')
    return interrupted
  }
  const advice = advise(answers)
  const costs = readMeasuredCosts(answers.broker)
  output.say(adviceText(advice, costs, output.page))
  // What was measured went through the outbox.
  const cost = advice.isDirect ? null : (costs[advice.guarantee] ?? null)
  output.result({ answers, ...advice, cost })
  return 0
}

function answersOf(flags: AdviseFlags): Answers {
  const {
    name = 'orders.placed',
    mayBeLost = false,
    ordered = false,
    latency = 'normal',
    broker = 'local',
  } = flags
  return {
    name,
    mayBeLost,
    mayRepeat: flags.mayRepeat === true ? 'yes' : flags.idempotent === true ? 'idempotent' : 'no',
    inTransaction: flags.transaction,
    ordered,
    latency,
    broker,
  }
}

function channelName(text: string): string {
  if (!isName(text)) throw new InvalidArgumentError(`It must be ${nameRule}.`)
  return text
}
