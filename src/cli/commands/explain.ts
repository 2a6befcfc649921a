import type { Command } from 'commander'
import { resolveConfig, type ResolvedConfig } from '../../app/config.ts'
import { compileInputs, type PlannedConsumer } from '../../app/plans.ts'
import { compile } from '../../guarantees/compile.ts'
import type { DeclaredForm } from '../../guarantees/plan.ts'
import { WaybillError } from '../../kernel/errors.ts'
import { didYouMean } from '../../kernel/suggest.ts'
import { loadConfig } from '../config-file.ts'
import { exitCodes, tellFailure } from '../failure.ts'
import { Output } from '../output.ts'
import { overviewText, planText } from '../plan-text.ts'
import { addSettingFlags, settingFlags } from '../settings-flags.ts'

interface ExplainOptions extends Record<string, unknown> {
  readonly json?: boolean
  readonly config?: string
}

export function addExplain(program: Command, onExitCode: (code: number) => void): void {
  const command = program
    .command('explain')
    .argument('[channel]', 'only this channel, hop by hop')
    .description('tell how each channel keeps its guarantee, for how long, and what may still happen')
    .option('--config <file>', 'configuration file (default: waybill.config.ts in this folder)')
    .addHelpText(
      'after',
      '\nIt connects to nothing. The exit code is 1 where a channel cannot hold what it promises; the nearest choice that\n' +
        'can is told. Of consumers it knows those that a channel declares; for one that declares none it tells what a handler\n' +
        'registered there gets.\n' +
        '\nExamples:\n  $ waybill explain\n  $ waybill explain orders.placed\n  $ waybill explain --lease-ms 5s --json\n',
    )
    .action(async (channel: string | undefined, _own: unknown, self: Command) => {
      onExitCode(await explain(channel, self.optsWithGlobals<ExplainOptions>()))
    })
  addSettingFlags(command)
}

async function explain(channel: string | undefined, options: ExplainOptions): Promise<number> {
  const output = new Output(options.json === true)
  const config = resolveConfig(await loadConfig(options.config), {
    flags: settingFlags(options),
    env: process.env,
  })
  if (channel !== undefined && !config.routes.has(channel)) {
    const hint = didYouMean(channel, config.routes.keys())
    const message = `Channel "${channel}" is not in the configuration.${hint}`
    tellFailure(output, new WaybillError('WB_UNKNOWN_CHANNEL', message))
    return exitCodes.usage
  }
  const verdicts = compileInputs(config, expectedConsumers(config))
    .filter((input) => channel === undefined || input.channel.name === channel)
    .map((input) => compile(input))
  output.say(
    verdicts.length === 1
      ? planText(verdicts[0]!, output.page)
      : verdicts.length === 0
        ? 'The configuration has no channels.'
        : overviewText(verdicts, output.page),
  )
  output.result({ channels: verdicts })
  return verdicts.some(({ kind }) => kind === 'refusal') ? exitCodes.failed : 0
}

/** What a configuration tells of consumers: those its channels declare; where none is, one stands for any that may come. */
function expectedConsumers({ store, routes, settings }: ResolvedConfig): readonly PlannedConsumer[] {
  // Without a store it only sends.
  if (store === undefined) return []
  return [...routes.values()].flatMap(({ channel }) => {
    const { name, guarantee } = channel
    // Whether a handler that is declared idempotent on an exactly-once channel has an inbox is not ours to say.
    const declared = Object.entries(channel.consumers).filter(
      ([, form]) => !(guarantee === 'exactly-once' && form === 'idempotent'),
    )
    const all: readonly (readonly [string, DeclaredForm | undefined])[] =
      declared.length > 0 ? declared : [['any consumer', undefined]]
    return all.map(([consumer, form]) => ({
      channel: name,
      facts: {
        name: consumer,
        isIdempotent: form !== 'none',
        form: guarantee !== 'at-most-once' && (form === 'inbox' || form === 'checkpoint') ? form : undefined,
        transforms: false,
        concurrency: 1,
        handlerTimeoutMs: settings.handlerTimeoutMs,
      },
    }))
  })
}
