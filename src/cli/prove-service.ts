import { resolve } from 'node:path'
import type { Command } from 'commander'
import { flagOf, settingNames } from '../app/settings-table.ts'
import type { Guarantee } from '../guarantees/guarantees.ts'
import { Payloads } from '../prove/service/payloads.ts'
import { Service } from '../prove/service/service.ts'
import type { ProofOptions } from '../prove/run.ts'
import { messagesFile, parseCount, parseNames } from './handler-flags.ts'
import { addSettingFlags, settingFlags } from './settings-flags.ts'

/** Flags of a proof of the user's own service. */
export interface ServiceFlags extends Record<string, unknown> {
  readonly config?: string
  readonly handlers?: string
  readonly tables?: readonly string[]
  readonly messages?: string
  readonly channel?: string
  readonly consumer?: string
  readonly ignore: readonly string[]
  readonly maxRows: number
}

export const serviceHelp = `
Your own service: with --config the channels of your configuration are proven, on its database, in a schema of the run's own, and
over its Kafka, in topics and groups of the run's own: all of them are removed at the end. Its credentials must be allowed to make and
remove them. Your settings hold, except that times such as leaseMs are shortened (a flag counts first) and nothing expires. Payloads
are made by the channels' schemas, or given with --messages. With --handlers (the file of check-idempotency) your handlers run;
without, handlers that only keep a ledger. Each consumer of a channel is judged for itself. Your servers are neither killed nor
stopped, and of the sessions only the run's own are ended.

How your handlers stay off your data: as in check-idempotency, on copies of the tables named, which their transactions find
because search_path begins with their schema. PostgreSQL refuses the commit of one that wrote anything but the copies, or read
an original of them, and the proof ends with that. A copy has columns, defaults and constraints of its table, but neither its
triggers nor its foreign keys and row-level policies. But what a handler does outside its transaction (another connection, HTTP,
mail) is done for real, and hundreds of times: use a database for tests.

What counts as an effect: each run that commits; on an effectively-once channel what a further run changes in the copies, once
the latest message of its key has come again too. Whether a handler does the right thing is not judged, nor are transforms and
channels without an outbox. A handler has a second (--handler-timeout-ms).

Messages, a line each, from which it is drawn: {"channel": "orders.placed", "payload": {"id": 7}, "key": "c-1"}
Those of channels that are not asked for are left out.
`

export function addServiceFlags(command: Command): void {
  command
    .option(
      '--config <file>',
      'your channels, on your servers (with --handlers by default: waybill.config.ts in this folder)',
    )
    .option('--handlers <file>', 'module whose default export registers handlers of yours')
    .option('--tables <name,...>', 'tables that the handlers write, which are copied', parseNames)
    .option('--messages <file>', 'example messages, a line of JSON each; - for stdin')
    .option('--channel <name>', 'only this channel')
    .option('--consumer <name>', 'only this consumer')
    .option('--ignore <table.column,...>', 'columns that may differ between runs', parseNames, [])
    .option('--max-rows <number>', 'rows of a table that are copied at most', parseCount, 100_000)
  addSettingFlags(command)
}

export function provesService({ config, handlers }: Partial<ServiceFlags>): boolean {
  return config !== undefined || handlers !== undefined
}

const serviceFlags = {
  config: '--config',
  handlers: '--handlers',
  tables: '--tables',
  messages: '--messages',
  channel: '--channel',
  consumer: '--consumer',
  ignore: '--ignore',
  maxRows: '--max-rows',
} as const

const serverFlags = {
  transport: '--transport',
  store: '--store',
  brokers: '--brokers',
  databaseUrl: '--database-url',
} as const

/** What goes with a configuration, and what says where servers are without one, is not mixed. Ends with a usage error. */
export function refuseMixed(command: Command): void {
  const isGiven = (name: string): boolean => command.getOptionValueSource(name) === 'cli'
  const given = (flags: Readonly<Record<string, string>>): string | undefined =>
    Object.keys(flags).find(isGiven)
  if (provesService(command.opts<Partial<ServiceFlags>>())) {
    const wrong = given(serverFlags) as keyof typeof serverFlags | undefined
    if (wrong !== undefined)
      command.error(`error: ${serverFlags[wrong]} does not go with a configuration, which says that itself`)
    if (isGiven('tables') && !isGiven('handlers')) command.error('error: --tables goes with --handlers')
    return
  }
  const wrong = given(serviceFlags) as keyof typeof serviceFlags | undefined
  const setting = settingNames.find(isGiven)
  const flag = wrong === undefined ? setting && flagOf(setting) : serviceFlags[wrong]
  if (flag !== undefined) command.error(`error: ${flag} goes with --config or --handlers`)
}

/** Runs `prove` with what of the user's own is to be proven. */
export async function withSubject<T>(
  flags: ServiceFlags & { readonly guarantee: readonly Guarantee[] },
  onNote: (note: string) => void,
  prove: (subject: NonNullable<ProofOptions['subject']>) => Promise<T>,
): Promise<T> {
  const { config, handlers, tables = [], ignore, maxRows, channel, consumer, guarantee } = flags
  using messages = await messagesFile(flags.messages)
  const service = await Service.choose({
    config,
    flags: settingFlags(flags),
    handlers: handlers === undefined ? null : resolve(handlers),
    messages: messages.path,
    guarantees: guarantee,
    channel,
    consumer,
  })
  for (const note of service.notes) onNote(note)
  // Before anything is made: whether there is something to be published.
  const { channels, leftOut } = await Payloads.of(service)
  if (leftOut !== undefined) onNote(leftOut)
  const names = new Set(service.settings.pairs.map((pair) => pair.channel))
  for (const name of [...names].filter((one) => !channels.includes(one)))
    onNote(`${name} gets only what handlers publish: no payload can be made up for it (--messages).`)
  return await prove({ service, copies: handlers === undefined ? null : { tables, ignore, maxRows } })
}

/** One word for a shell: quotes of a name are not the shell's. */
function shellWord(text: string): string {
  return /^[\w@%+=:,./-]+$/u.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`
}

/** As they were given, to be given again. */
export function serviceFlagsText(flags: ServiceFlags): readonly string[] {
  const settings = settingFlags(flags)
  return [
    ...Object.entries(serviceFlags).map(([name, flag]) => [flag, flags[name]] as const),
    ...settingNames.map((name) => [flagOf(name), settings[name]] as const),
  ].flatMap(([flag, value]) => {
    const isDefault = flag === serviceFlags.maxRows && value === 100_000
    const given = Array.isArray(value) ? value.join(',') : (value as string | number | undefined)
    return given === undefined || isDefault || given === '' ? [] : [`${flag} ${shellWord(String(given))}`]
  })
}
