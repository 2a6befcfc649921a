import type { Command } from 'commander'
import { createWaybill } from '../../app/waybill.ts'
import { loadConfig } from '../config-file.ts'
import { Output } from '../output.ts'
import { addSettingFlags, settingFlags } from '../settings-flags.ts'

interface MigrateOptions extends Record<string, unknown> {
  readonly json?: boolean
  readonly config?: string
  readonly print?: boolean
}

export function addMigrate(program: Command): void {
  const command = program
    .command('migrate')
    .description("bring Waybill's tables up to date, and make the channels known to writers in any language")
    .option('--config <file>', 'configuration file (default: waybill.config.ts in this folder)')
    .option('--print', 'print the migrations as SQL, and change nothing')
    .addHelpText(
      'after',
      '\nExamples:\n  $ waybill migrate\n  $ waybill migrate --print > waybill.sql\n  $ waybill migrate --config services/shop/waybill.config.ts --json\n',
    )
    .action(async (_own: unknown, self: Command) => {
      await migrate(self.optsWithGlobals<MigrateOptions>())
    })
  addSettingFlags(command)
}

async function migrate(options: MigrateOptions): Promise<void> {
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
    output.result({ applied })
  } finally {
    await waybill[Symbol.asyncDispose]()
  }
}
