import type { Command } from 'commander'
import type { Cleaned, CleanupPlan } from '../../app/cleanup.ts'
import { createWaybill } from '../../app/create-waybill.ts'
import { loadConfig } from '../config-file.ts'
import { Output } from '../output.ts'
import { addSettingFlags, settingFlags } from '../settings-flags.ts'
import { stoppable } from '../stoppable.ts'
import { tableText } from '../table.ts'

interface CleanupFlags extends Record<string, unknown> {
  readonly json?: boolean
  readonly config?: string
  readonly dryRun?: boolean
}

export function addCleanup(program: Command, onExitCode: (code: number) => void): void {
  const command = program
    .command('cleanup')
    .description('delete what is past its retention now; running processes do it by themselves')
    .option('--config <file>', 'configuration file (default: waybill.config.ts in this folder)')
    .option('--dry-run', 'tell what would go, and change nothing')
    .addHelpText(
      'after',
      '\nIt tells first what would go: rows of the inbox older than inboxRetentionMs, days of sent messages that ended longer than\n' +
        'retainMs ago, and registrations of relays that are gone. Never what is undelivered, is tried again, is a dead letter or is\n' +
        'inside its window. In batches: Ctrl-C stops between two. Where retainMs is 0 kept messages of another time are left; to delete\n' +
        'those too say how old they must be: --retain-ms 1d.\n' +
        '\nExamples:\n  $ waybill cleanup --dry-run\n  $ waybill cleanup --json\n  $ waybill cleanup --inbox-retention-ms 7d --dry-run\n',
    )
    .action(async (_own: unknown, self: Command) => {
      const flags = self.optsWithGlobals<CleanupFlags>()
      await cleanup(flags, new Output(flags.json === true), onExitCode)
    })
  addSettingFlags(command)
}

async function cleanup(
  flags: CleanupFlags,
  output: Output,
  onExitCode: (code: number) => void,
): Promise<void> {
  await using waybill = createWaybill(await loadConfig(flags.config), {
    flags: settingFlags(flags),
    env: process.env,
  })
  const plan = await waybill.cleanup.look()
  output.say(planText(plan, output))
  if (flags.dryRun === true) {
    output.say('Nothing was changed.')
    output.result({ found: plan, changed: false })
    return
  }
  const onProgress = ({ inbox, sentDays, sent }: Cleaned): void =>
    output.note(`inbox ${inbox}, days ${sentDays}, sent ${sent}`)
  const cleaned = await stoppable(output, onExitCode, (signal) => waybill.cleanup.run({ signal, onProgress }))
  output.say(
    `Deleted: ${cleaned.inbox} of the inbox, ${cleaned.sentDays} days and ${cleaned.sent} messages of what was sent, ` +
      `${cleaned.relays} registrations.`,
  )
  output.result({ found: plan, changed: true, cleaned })
}

function planText(plan: CleanupPlan, output: Output): string {
  const { inbox, attempts, relays, sentDays, sent, kept } = plan
  const columns = [{ title: 'table' }, { title: 'would go', isNumber: true }, { title: '' }]
  const days = sentDays.length === 0 ? '' : `${sentDays[0]} to ${sentDays.at(-1)}`
  const left = kept > 0 && sentDays.length === 0 && sent === 0 ? `about ${kept} are kept` : ''
  return tableText(
    columns,
    [
      ['inbox', String(inbox), ''],
      ['attempts', String(attempts), ''],
      ['sent, whole days', String(sentDays.length), days],
      ['sent, outside of days', String(sent), left],
      ['relays', String(relays), ''],
    ],
    output.sheet,
  )
}
