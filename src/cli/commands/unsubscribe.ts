import type { Command } from 'commander'
import type { EndedSubscription } from '../../ports/schema.ts'
import { addConfirmFlags, type ConfirmFlags, confirmed } from '../confirm.ts'
import { exitCodes } from '../failure.ts'
import { Output } from '../output.ts'
import { addSettingFlags } from '../settings-flags.ts'
import { tableText } from '../table.ts'
import { visible } from '../visible.ts'
import { withWaybill } from '../with-waybill.ts'

interface UnsubscribeFlags extends ConfirmFlags, Record<string, unknown> {
  readonly json?: boolean
  readonly config?: string
}

export function addUnsubscribe(program: Command, onExitCode: (code: number) => void): void {
  const command = program
    .command('unsubscribe')
    .description('end a local consumer that has gone for good: nothing waits for it any more')
    .argument('<consumer>', 'its name')
    .option('--config <file>', 'configuration file (default: waybill.config.ts in this folder)')
  addSettingFlags(addConfirmFlags(command, 'by name'))
    .addHelpText(
      'after',
      '\nA consumer over "local" stays subscribed while none of its processes runs: each message waits in the outbox until it has it.\n' +
        'Where it was renamed or removed, end it by its old name. Messages that waited only for it are deleted; of a channel that nobody\n' +
        'else has subscribed to they are kept. Its dead letters stay. It is refused while a process of it lives.\n' +
        '\nExamples:\n  $ waybill unsubscribe shipping --dry-run\n  $ waybill unsubscribe shipping --count 2\n',
    )
    .action(async (consumer: string, _own: unknown, self: Command) => {
      await unsubscribe(consumer, self, onExitCode)
    })
}

async function unsubscribe(
  consumer: string,
  self: Command,
  onExitCode: (code: number) => void,
): Promise<void> {
  const flags = self.optsWithGlobals<UnsubscribeFlags>()
  const output = new Output(flags.json === true)
  const name = visible(JSON.stringify(consumer))
  await withWaybill(flags, async ({ subscriptions }) => {
    const found = await subscriptions.look(consumer)
    if (found.length === 0) {
      output.say(
        `Consumer ${name} has no subscription: nothing to do. \`waybill status\` names those there are.`,
      )
      output.result({ found, changed: false })
      return
    }
    output.note(foundText(found, output))
    if (flags.dryRun === true) {
      output.say(`It would end ${found.length} of consumer ${name}. Nothing was changed.`)
      output.result({ found, changed: false })
      return
    }
    const what = found.length === 1 ? 'subscription' : 'subscriptions'
    if (!(await confirmed(self, output, flags, found.length, what))) {
      output.note('Nothing was changed.')
      onExitCode(exitCodes.failed)
      return
    }
    const ended = await subscriptions.end(consumer)
    const released = ended.reduce((sum, each) => sum + each.released, 0)
    output.say(`Ended: ${ended.length} of consumer ${name}. Messages that waited only for it: ${released}.`)
    output.result({ found, changed: true, ended })
  })
}

function foundText(found: readonly EndedSubscription[], output: Output): string {
  return tableText(
    [{ title: 'channel' }, { title: 'messages', isNumber: true }, { title: '' }],
    found.map(({ channel, released, isLast }) => [
      channel,
      String(released),
      isLast ? 'nobody else subscribes: what waits is kept' : 'wait only for it and are deleted',
    ]),
    { ...output.sheet, colors: output.errorColors },
  )
}
