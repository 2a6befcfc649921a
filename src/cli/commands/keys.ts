import { InvalidArgumentError, Option, type Command } from 'commander'
import type { KeyDesk } from '../../app/keys.ts'
import type { KeySelection } from '../../app/operator-filters.ts'
import type { HeldKey, LineName } from '../../ports/keys.ts'
import { addConfirmFlags, type ConfirmFlags, confirmed } from '../confirm.ts'
import { leftText } from '../dead-letter-text.ts'
import { exitCodes } from '../failure.ts'
import { addFilterFlags, type FilterFlags, keySelection, mustName, wholeNumber } from '../filter-flags.ts'
import { heldKeysText, keySteps } from '../key-text.ts'
import { point } from '../lines.ts'
import { Output } from '../output.ts'
import { addSettingFlags } from '../settings-flags.ts'
import { stoppable } from '../stoppable.ts'
import { withWaybill } from '../with-waybill.ts'

interface KeysFlags extends FilterFlags, ConfirmFlags {
  readonly json?: boolean
  readonly config?: string
  readonly limit?: number
  readonly after?: LineName
}

/** Of what would be changed, for people to recognise it. */
const sampled = 10
const page = 1000

export function addKeys(program: Command, onExitCode: (code: number) => void): void {
  const keys = program
    .command('keys')
    .description('keys that are held by a message which fails: list, unblock, skip')
    .addHelpText(
      'after',
      '\nOn an ordered channel a message that fails holds what stands behind it with the same key. `retrying`: it is tried again by\n' +
        'itself. `blocked`: it waits for you. `parked`: it is among the dead letters, with all that stood behind it.\n' +
        '\nExamples:\n  $ waybill keys list\n  $ waybill keys unblock --channel orders.placed --key ann\n' +
        '  $ waybill keys skip --channel orders.placed --key ann\n',
    )
  addList(keys)
  addUnblock(keys, onExitCode)
  addSkip(keys, onExitCode)
}

function addList(keys: Command): void {
  const command = withConfig(keys.command('list').description('list the keys that are held'))
  addFilterFlags(command, 'keys')
    .optionsGroup('How much:')
    .addOption(new Option('--limit <number>', 'so many at most').argParser(wholeNumber(page)).default(50))
    .addOption(
      new Option('--after <place>', 'only those after this place: the next page').argParser(lineNameOf),
    )
  addSettingFlags(command)
    .addHelpText(
      'after',
      '\nWhere a channel is not ordered a line is one message that is tried again.\n' +
        '\nExamples:\n  $ waybill keys list\n  $ waybill keys list --state blocked --older-than 1h\n  $ waybill keys list --channel orders.placed --json\n',
    )
    .action(async (_own: unknown, self: Command) => {
      const flags = self.optsWithGlobals<KeysFlags>()
      const output = new Output(flags.json === true)
      const limit = flags.limit ?? 50
      await withWaybill(flags, async (waybill) => {
        const held = await waybill.keys.list(keySelection(flags), { limit, after: flags.after })
        const last = held.length === limit ? placeOf(held.at(-1)!) : null
        if (held.length === 0) output.say('No key is held.')
        else output.say([heldKeysText(held, output.sheet, new Date()), '', ...steps(held, output)].join('\n'))
        if (last !== null) output.note(`There may be more: --after ${last}`)
        output.result({ keys: held.map(plain), after: last })
      })
    })
}

/** The place of a line in the list; its consumer's name may hold colons itself. */
function placeOf({ consumer, partition, seq }: LineName): string {
  return `${consumer}:${partition}:${seq}`
}

function lineNameOf(text: string): LineName {
  const [, consumer, partition, seq] = /^(.*):(\d{1,9}):(\d{1,18})$/u.exec(text) ?? []
  if (consumer === undefined)
    throw new InvalidArgumentError('It takes what `waybill keys list` says after its last key.')
  return { consumer, partition: Number(partition), seq: BigInt(seq!) }
}

function steps(held: readonly HeldKey[], output: Output): readonly string[] {
  return keySteps(held).flatMap((step) => point(step, output.page.width))
}

function plain(key: HeldKey): object {
  return { ...key, seq: String(key.seq) }
}

function addUnblock(keys: Command, onExitCode: (code: number) => void): void {
  const command = keys.command('unblock').description('try the heads of held keys again now')
  addChange(command)
    .addHelpText(
      'after',
      '\nA blocked key begins with no attempts. Parked keys are left: `waybill dead replay` brings those back.\n' +
        '\nExamples:\n  $ waybill keys unblock --channel orders.placed --key ann\n  $ waybill keys unblock --state blocked --dry-run\n' +
        '  $ waybill keys unblock --all --yes\n',
    )
    .action(async (_own: unknown, self: Command) => {
      await change(self, onExitCode, 'unblock', async (desk, filter, options) => {
        const report = await desk.unblock(filter, options)
        return {
          report,
          said: [`Unblocked: ${report.unblocked}.`, ...parkedText(report.parked)],
          isWhole: report.parked === 0,
        }
      })
    })
}

function addSkip(keys: Command, onExitCode: (code: number) => void): void {
  const command = keys
    .command('skip')
    .description('give the head of held keys up: each becomes a dead letter')
  addChange(command)
    .addHelpText(
      'after',
      '\nThe key goes on with what stands behind its head. The head is kept: `waybill dead replay` delivers it later, out of order. Of a\n' +
        'parked key the head stays among the dead letters and its followers come back in their order. One message for each key.\n' +
        'A head that is being sent at this moment may still arrive, and is no dead letter then.\n' +
        '\nExamples:\n  $ waybill keys skip --channel orders.placed --key ann\n  $ waybill keys skip --state blocked --dry-run\n',
    )
    .action(async (_own: unknown, self: Command) => {
      await change(self, onExitCode, 'skip', async (desk, filter, options) => {
        const report = await desk.skip(filter, options)
        return {
          report,
          said: [
            `Skipped: ${report.skipped}.`,
            ...(report.gone > 0 ? [`${report.gone} had been delivered meanwhile.`] : []),
            ...(report.returned > 0 ? [`${report.returned} came back from behind them.`] : []),
            ...report.left.map(({ why, count }) => leftText(why, count)),
          ],
          isWhole: report.left.length === 0,
        }
      })
    })
}

type Run = (
  desk: KeyDesk,
  filter: Parameters<KeyDesk['skip']>[0],
  options: Parameters<KeyDesk['skip']>[1],
) => Promise<{ readonly report: object; readonly said: readonly string[]; readonly isWhole: boolean }>

async function change(
  self: Command,
  onExitCode: (code: number) => void,
  verb: 'unblock' | 'skip',
  run: Run,
): Promise<void> {
  const flags = self.optsWithGlobals<KeysFlags>()
  const output = new Output(flags.json === true)
  const filter = keySelection(flags)
  mustName(filter, self)
  await withWaybill(flags, async ({ keys }) => {
    const { met, concerned } = await look(keys, filter, verb, flags.limit ?? Infinity)
    if (met.length === 0) {
      output.say('No key fits: nothing to do.')
      output.result({ found: 0, changed: false })
      return
    }
    const count = concerned.length
    const sample = concerned.slice(0, sampled)
    if (count > 0)
      output.note(heldKeysText(sample, { ...output.sheet, colors: output.errorColors }, new Date()))
    if (count > sample.length) output.note(`… and ${count - sample.length} more`)
    if (flags.dryRun === true) {
      const parked = met.length - count
      output.say([`It would ${verb} ${count}. Nothing was changed.`, ...parkedText(parked)].join('\n'))
      output.result({ found: count, changed: false, ...(verb === 'unblock' ? { parked } : {}) })
      return
    }
    // Where nothing will be done there is nothing to ask; a number that was given is held against it all the same.
    const isAsked = count > 0 || flags.count !== undefined
    if (isAsked && !(await confirmed(self, output, flags, count, count === 1 ? 'key' : 'keys'))) {
      output.note('Nothing was changed.')
      onExitCode(exitCodes.failed)
      return
    }
    // Those that were counted: a key that is held only since then nobody has seen.
    const ids = met.map(({ id }) => id)
    const { report, said } = await stoppable(output, onExitCode, async (signal) => {
      const done = await run(keys, { ...filter, ids }, { limit: met.length, signal })
      if (!done.isWhole) onExitCode(exitCodes.failed)
      return done
    })
    output.say(said.join('\n'))
    output.result({ found: count, changed: count > 0, ...report })
  })
}

function parkedText(parked: number): readonly string[] {
  return parked === 0 ? [] : [`${parked} parked and left: \`waybill dead replay\` brings them back.`]
}

/**
 * What fits, in its order, until so many of it are concerned: an unblock leaves parked keys, so what is told before it and held against
 * `--count` leaves them out.
 */
async function look(
  keys: KeyDesk,
  filter: KeySelection,
  verb: 'unblock' | 'skip',
  most: number,
): Promise<{ readonly met: readonly HeldKey[]; readonly concerned: readonly HeldKey[] }> {
  const met: HeldKey[] = []
  const concerned: HeldKey[] = []
  while (concerned.length < most) {
    const limit = Math.min(page, most - concerned.length)
    const next = await keys.list(filter, { limit, after: met.at(-1) })
    met.push(...next)
    concerned.push(...next.filter(({ state }) => verb === 'skip' || state !== 'parked'))
    if (next.length < limit) break
  }
  return { met, concerned }
}

function addChange(command: Command): Command {
  withConfig(command)
  addFilterFlags(command, 'keys').addOption(
    new Option('--limit <number>', 'the first so many that fit').argParser(wholeNumber(1_000_000)),
  )
  return addSettingFlags(addConfirmFlags(command))
}

function withConfig(command: Command): Command {
  return command.option('--config <file>', 'configuration file (default: waybill.config.ts in this folder)')
}
