import { InvalidArgumentError, type Command } from 'commander'
import { type DrainWait, holdingText, type PartitionsChange } from '../../app/partitions.ts'
import { createWaybill } from '../../app/create-waybill.ts'
import type { Waybill } from '../../app/waybill.ts'
import { durationOf } from '../../app/settings-value.ts'
import type { LayoutWait } from '../../ports/layouts.ts'
import { loadConfig } from '../config-file.ts'
import { listenForInterruption } from '../interruption.ts'
import { Output } from '../output.ts'
import { exitCodes } from '../failure.ts'
import { partitionsText } from '../partitions-text.ts'
import { addSettingFlags, settingFlags } from '../settings-flags.ts'
import { visible } from '../visible.ts'

interface MigrateOptions extends Record<string, unknown> {
  readonly json?: boolean
  readonly config?: string
  readonly print?: boolean
  readonly partitions?: string
  readonly transport?: readonly string[]
  readonly wait?: number
  readonly yes?: boolean
}

const help = `
--partitions N changes the number of partitions of the broker and local transports of the configuration, while services and
relays go on:
  1. It waits for the transactions that are open now, and then until nobody has an unfinished publish. It says for whom.
  2. From then on new messages go into N new partitions. Nothing has changed before that: Ctrl-C takes it back.
  3. Relays send what stands in the older partitions, and only then turn to the new ones, so each key keeps its order. This
     command waits for it (--wait), and tells what remains and why; relays go on without it.
Whatever ends it, run it again. To undo one that was killed in the middle, ask for the present number.

A blocked key (waybill keys list) or a message that is tried again later holds the new partitions back until it is sent or
given up: new messages of every ordered channel wait for it. So it is refused while keys are blocked, without --yes, and ends with 1
where blocked keys hold it up. Delayed messages and parked keys hold nothing up: they stay where they are, or move along.

Partitions have new numbers each time. Exactly-once into Kafka keeps a note for each in the topic of positions, which grows
with them; where the transport may not create topics (createTopics: false), make it larger first.

Examples:
  $ waybill migrate
  $ waybill migrate --print > waybill.sql
  $ waybill migrate --partitions 32
  $ waybill migrate --partitions 4 --transport kafka --wait 10m --json
  $ waybill migrate --config services/shop/waybill.config.ts --json
`

export function addMigrate(program: Command, onExitCode: (code: number) => void): void {
  const command = program
    .command('migrate')
    .description(
      "bring Waybill's tables up to date, make the channels known to writers in any language, change the number of partitions",
    )
    .option('--config <file>', 'configuration file (default: waybill.config.ts in this folder)')
    .option('--print', 'print the migrations as SQL, and change nothing')
    .option('--transport <names...>', 'with --partitions: only of these transports')
    .option(
      '--wait <duration>',
      'with --partitions: how long to wait for the older partitions (default: 60s)',
      duration,
    )
    .option('--yes', 'with --partitions: also where blocked keys will hold the new partitions back')
    .addHelpText('after', help)
    .action(async (_own: unknown, self: Command) => {
      await migrate(self.optsWithGlobals<MigrateOptions>(), onExitCode)
    })
  addSettingFlags(command, {
    partitions:
      'Partitions that each transport of the configuration is to have from now on; without it none are changed.',
  })
}

function duration(text: string): number {
  const ms = durationOf(text)
  if (ms === undefined) throw new InvalidArgumentError('It takes a time such as 90s, 10min or 2h.')
  return ms
}

async function migrate(options: MigrateOptions, onExitCode: (code: number) => void): Promise<void> {
  const output = new Output(options.json === true)
  const waybill = createWaybill(await loadConfig(options.config), {
    flags: settingFlags(options),
    env: process.env,
  })
  try {
    if (options.print === true) {
      const sql = waybill.printMigrations()
      if (output.isJson) output.result({ sql })
      else output.say(sql.trimEnd())
      return
    }
    const applied = await waybill.migrate()
    output.say(applied.length === 0 ? 'The schema is up to date.' : `Applied: version ${applied.join(', ')}.`)
    if (options.partitions === undefined) {
      output.result({ applied })
      return
    }
    const { changes, exitCode } = await change(waybill, Number(options.partitions), options, output)
    output.say(partitionsText(changes, output.page))
    output.result({ applied, partitions: changes })
    if (exitCode !== undefined) onExitCode(exitCode)
  } finally {
    await waybill[Symbol.asyncDispose]()
  }
}

async function change(
  waybill: Waybill,
  partitions: number,
  { transport, wait = 60_000, yes = false }: MigrateOptions,
  output: Output,
): Promise<{ readonly changes: readonly PartitionsChange[]; readonly exitCode: number | undefined }> {
  const interruption = listenForInterruption(() => {
    output.note('Stopping. Once more to stop at once.')
  })
  try {
    const changes = await waybill.partitions.change(partitions, {
      ...(transport === undefined ? {} : { transports: transport }),
      drainMs: wait,
      refuseBlocked: !yes,
      signal: interruption.signal,
      onWait: (name, what) => {
        output.note(`${name}: ${waitText(what)}`)
      },
    })
    // Relays go on by themselves with whatever else is left; this is left to an operator.
    const isHeld = changes.some(({ blocked }) => blocked.length > 0)
    return { changes, exitCode: interruption.exitCode() ?? (isHeld ? exitCodes.failed : undefined) }
  } finally {
    interruption.dispose()
  }
}

function waitText(wait: LayoutWait | DrainWait): string {
  switch (wait.for) {
    case 'transactions':
      return `waiting for ${count(wait.count, 'transaction')} that began before; the oldest is ${wait.oldest}`
    case 'writers':
      return 'waiting for transactions that have published and are not over'
    case 'drain':
      return drainText(wait)
  }
}

function drainText({ rows, isAtLeast, blocked }: DrainWait): string {
  if (rows === 0)
    return 'nothing stands in the older partitions; waiting for a relay, or a service that consumes, to turn to the new ones'
  const held = blocked.length === 0 ? '' : `; held up by blocked keys: ${visible(holdingText(blocked))}`
  return `waiting for ${isAtLeast ? 'at least ' : ''}${count(rows, 'message')} in the older partitions${held}`
}

function count(n: number, word: string): string {
  return `${n} ${word}${n === 1 ? '' : 's'}`
}
