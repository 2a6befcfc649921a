import { Option, type Command } from 'commander'
import type { DeadLetterDesk } from '../../app/dead-letters.ts'
import type { Waybill } from '../../app/waybill.ts'
import type { DeadLetterSummary, FullDeadLetter } from '../../ports/dead-letters.ts'
import { addConfirmFlags, type ConfirmFlags, confirmed } from '../confirm.ts'
import { deadLettersText, deadLetterText, leftText } from '../dead-letter-text.ts'
import { exitCodes } from '../failure.ts'
import {
  addFilterFlags,
  deadLetterSelection,
  type FilterFlags,
  mustName,
  wholeNumber,
} from '../filter-flags.ts'
import { Output } from '../output.ts'
import { payloadText } from '../payload-text.ts'
import { addSettingFlags } from '../settings-flags.ts'
import { stoppable } from '../stoppable.ts'
import { visible } from '../visible.ts'
import { withWaybill } from '../with-waybill.ts'

interface CommonFlags extends FilterFlags {
  readonly json?: boolean
  readonly config?: string
  readonly limit?: number
}

interface ListFlags extends CommonFlags {
  readonly after?: number
  readonly payload?: boolean
}

interface ShowFlags extends CommonFlags {
  readonly full?: boolean
}

type ChangeFlags = CommonFlags & ConfirmFlags

/** Of a payload, unless all of it is asked for. */
const shownBytes = 16_384
/** The same in a list. */
const listedBytes = 512
/** Of what would be changed, for people to recognise it. */
const sampled = 10

export function addDead(program: Command, onExitCode: (code: number) => void): void {
  const dead = program
    .command('dead')
    .description('messages that were given up: list, show, replay, purge')
    .addHelpText(
      'after',
      '\nA message is given up when it can never succeed or is out of attempts. It is kept until somebody replays or purges it.\n' +
        '\nExamples:\n  $ waybill dead list --channel orders.placed\n  $ waybill dead show 17\n  $ waybill dead replay --id 17\n',
    )
  addList(dead)
  addShow(dead, onExitCode)
  addReplay(dead, onExitCode)
  addPurge(dead, onExitCode)
}

function addList(dead: Command): void {
  const command = withConfig(
    dead.command('list').description('list dead letters, those that were given up first at the top'),
  )
  addFilterFlags(command, 'dead')
    .optionsGroup('How much:')
    .addOption(new Option('--limit <number>', 'so many at most').argParser(wholeNumber(1000)).default(50))
    .addOption(
      new Option('--after <number>', 'only those after this number: the next page').argParser(
        wholeNumber(Number.MAX_SAFE_INTEGER),
      ),
    )
    .option('--payload', 'print the beginning of each payload too')
  addSettingFlags(command)
    .addHelpText(
      'after',
      '\nExamples:\n  $ waybill dead list\n  $ waybill dead list --channel orders.placed --newer-than 2h\n' +
        '  $ waybill dead list --reason rejected --limit 1000 --json\n',
    )
    .action(async (_own: unknown, self: Command) => {
      const flags = self.optsWithGlobals<ListFlags>()
      const output = new Output(flags.json === true)
      await withWaybill(flags, async ({ deadLetters }) => list(output, deadLetters, flags, self))
    })
}

async function list(output: Output, desk: DeadLetterDesk, flags: ListFlags, self: Command): Promise<void> {
  const { limit = 50, after } = flags
  const letters = await desk.list(deadLetterSelection(flags, self), { limit, after })
  const full = flags.payload === true ? await payloadsOf(desk, letters) : undefined
  if (letters.length === 0) output.say('No dead letters fit.')
  else output.say(deadLettersText(letters, output.sheet, new Date()))
  for (const { number, payload, contentType } of full ?? []) {
    const { lines, hiddenBytes } = payloadText(payload, contentType, listedBytes)
    output.say(['', `${number}:`, ...lines, ...(hiddenBytes > 0 ? ['…'] : [])].join('\n'))
  }
  const last = letters.at(-1)?.number
  if (letters.length === limit) output.note(`There may be more: --after ${last}`)
  output.result({
    deadLetters: full?.map(fullJson) ?? letters,
    after: letters.length === limit ? last : null,
  })
}

async function payloadsOf(
  desk: DeadLetterDesk,
  letters: readonly DeadLetterSummary[],
): Promise<readonly FullDeadLetter[]> {
  const found: FullDeadLetter[] = []
  for (const { number } of letters) found.push(...(await desk.show(number)))
  return found
}

function addShow(dead: Command, onExitCode: (code: number) => void): void {
  const command = withConfig(dead.command('show'))
    .description('show one in full: payload, headers, errors, and what to do next')
    .argument('<id>', 'its number from the list, or the id of its message')
    .option('--full', 'the whole payload, however long')
  addSettingFlags(command)
    .addHelpText(
      'after',
      '\nControl characters are written out, so that nothing of a message reaches the terminal as a command.\n' +
        '\nExamples:\n  $ waybill dead show 17\n  $ waybill dead show 01990a5c-6b1e-7c44-9d0e-2f1a8f3f7b10 --json\n',
    )
    .action(async (id: string, _own: unknown, self: Command) => {
      const flags = self.optsWithGlobals<ShowFlags>()
      const { ids, numbers } = deadLetterSelection({ id: [idOf(id, self)] }, self)
      const output = new Output(flags.json === true)
      await withWaybill(flags, async ({ deadLetters }) => {
        const found = await deadLetters.show(numbers?.[0] ?? ids![0]!)
        const mostBytes = flags.full === true ? Infinity : shownBytes
        if (found.length === 0) {
          output.say(`There is no dead letter ${id}: it was replayed or purged, or never was.`)
          onExitCode(exitCodes.failed)
        }
        const texts = found.map((letter) => deadLetterText(letter, output.page, new Date(), mostBytes))
        if (texts.length > 0) output.say(texts.join('\n\n'))
        output.result({ deadLetters: found.map(fullJson) })
      })
    })
}

function idOf(text: string, command: Command): string {
  if (/^(?:\d{1,15}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$/iu.test(text)) return text
  return command.error('error: It takes a number from `waybill dead list`, or the id of a message.')
}

/** As JSON can carry it. A payload that is no text goes as base64. */
function fullJson({ payload, seq, ...letter }: FullDeadLetter): object {
  const buffer = Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength)
  const text = buffer.toString('utf8')
  const isText = Buffer.from(text, 'utf8').equals(buffer)
  return {
    ...letter,
    seq: seq === null ? null : String(seq),
    ...(isText ? { payload: text } : { payloadBase64: buffer.toString('base64') }),
  }
}

function addReplay(dead: Command, onExitCode: (code: number) => void): void {
  const command = dead.command('replay').description('deliver dead letters again, under their own ids')
  addChange(command)
    .addHelpText(
      'after',
      '\nWhat stood in the outbox goes back to its old place there; what a consumer had from a broker is run by a process of that\n' +
        'consumer. A message of a parked key never comes back alone: its whole key does, head and followers, in their old order.\n' +
        'Pressing twice does nothing the second time.\n' +
        '\nExamples:\n  $ waybill dead replay --id 17\n  $ waybill dead replay --channel orders.placed --key ann\n' +
        '  $ waybill dead replay --channel orders.placed --newer-than 2h --dry-run\n' +
        '  $ waybill dead replay --reason attempts-exhausted --count 12\n',
    )
    .action(async (_own: unknown, self: Command) => {
      await change(self, onExitCode, {
        verb: 'replay',
        async apply({ deadLetters }, filter, options) {
          const report = await deadLetters.replay(filter, options)
          const parts = [
            `${report.returned} back in the outbox`,
            ...(report.asked > 0 ? [`${report.asked} to be run by their consumer's process`] : []),
            ...(report.keys > 0 ? [`${report.keys} whole ${report.keys === 1 ? 'key' : 'keys'}`] : []),
          ]
          return { report, said: `Replayed: ${parts.join(', ')}.` }
        },
      })
    })
}

function addPurge(dead: Command, onExitCode: (code: number) => void): void {
  const command = dead.command('purge').description('delete dead letters for good')
  addChange(command)
    .addHelpText(
      'after',
      '\nNobody ever gets these messages. Messages of a parked key are left, except where the key itself is named by --channel and\n' +
        '--key and nothing narrows it: then all of it goes, with what has joined it meanwhile, and the key is free.\n' +
        '\nExamples:\n  $ waybill dead purge --id 17\n  $ waybill dead purge --older-than 30d --dry-run\n' +
        '  $ waybill dead purge --channel orders.placed --key ann --count 3\n',
    )
    .action(async (_own: unknown, self: Command) => {
      await change(self, onExitCode, {
        verb: 'purge',
        async apply({ deadLetters }, filter, options) {
          const report = await deadLetters.purge(filter, options)
          const keys =
            report.keys === 0 ? '' : `, with ${report.keys} parked ${report.keys === 1 ? 'key' : 'keys'}`
          return { report, said: `Purged: ${report.purged}${keys}.` }
        },
      })
    })
}

interface Change {
  readonly verb: 'replay' | 'purge'
  apply(
    this: void,
    waybill: Pick<Waybill, 'deadLetters'>,
    filter: Parameters<DeadLetterDesk['replay']>[0],
    options: Parameters<DeadLetterDesk['replay']>[1],
  ): Promise<{
    readonly report: object & {
      readonly left: readonly { readonly why: Parameters<typeof leftText>[0]; readonly count: number }[]
    }
    readonly said: string
  }>
}

async function change(
  self: Command,
  onExitCode: (code: number) => void,
  { verb, apply }: Change,
): Promise<void> {
  const flags = self.optsWithGlobals<ChangeFlags>()
  const output = new Output(flags.json === true)
  const { limit } = flags
  const filter = deadLetterSelection(flags, self)
  mustName(filter, self)
  await withWaybill(flags, async (waybill) => {
    const desk = waybill.deadLetters
    const found = await desk.count(filter, { limit })
    if (found.messages === 0) {
      output.say('No dead letters fit: nothing to do.')
      output.result({ found, changed: false })
      return
    }
    const sample = await desk.list(filter, { limit: Math.min(sampled, limit ?? sampled) })
    output.note(deadLettersText(sample, { ...output.sheet, colors: output.errorColors }, new Date()))
    if (found.messages > sample.length) output.note(`… and ${found.messages - sample.length} more`)
    for (const { channel, key, messages } of found.parkedKeys.slice(0, sampled)) {
      output.note(
        `Key ${visible(JSON.stringify(key))} of ${visible(channel)} is parked, with ${messages} messages in all.`,
      )
    }
    if (flags.dryRun === true) {
      output.say(`It would ${verb} ${found.messages}. Nothing was changed.`)
      output.result({ found, changed: false })
      return
    }
    const what = found.messages === 1 ? 'dead letter' : 'dead letters'
    if (!(await confirmed(self, output, flags, found.messages, what))) {
      output.note('Nothing was changed.')
      onExitCode(exitCodes.failed)
      return
    }
    const wanted = { ...filter, upTo: found.upTo }
    const { report, said } = await stoppable(output, onExitCode, async (signal) => {
      const done = await apply(waybill, wanted, { limit, signal })
      if (done.report.left.length > 0) onExitCode(exitCodes.failed)
      return done
    })
    output.say([said, ...report.left.map(({ why, count }) => leftText(why, count))].join('\n'))
    output.result({ found, changed: true, ...report })
  })
}

function addChange(command: Command): Command {
  withConfig(command)
  addFilterFlags(command, 'dead').addOption(
    new Option('--limit <number>', 'the first so many that fit').argParser(
      wholeNumber(Number.MAX_SAFE_INTEGER),
    ),
  )
  return addSettingFlags(addConfirmFlags(command))
}

function withConfig(command: Command): Command {
  return command.option('--config <file>', 'configuration file (default: waybill.config.ts in this folder)')
}
