import { Option, type Command } from 'commander'
import { flagOf, settingNames, settingOf, type SettingName } from '../app/settings-table.ts'

const placeholders = {
  duration: 'duration',
  size: 'size',
  count: 'number',
  choice: 'word',
  text: 'text',
} as const

/** Gives a command a flag for each line of the settings table. The values are judged where all sources come together. */
export function addSettingFlags(command: Command): Command {
  command.optionsGroup('Settings (also WAYBILL_* variables and the configuration file; a flag counts first):')
  for (const name of settingNames) {
    const setting = settingOf(name)
    const option = new Option(`${flagOf(name)} <${placeholders[setting.kind]}>`, describe(name))
    if (setting.kind === 'choice') option.choices(setting.choices)
    command.addOption(option)
  }
  return command
}

/** What was given of them, by the settings' names. */
export function settingFlags(options: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  return Object.fromEntries(
    settingNames.filter((name) => options[name] !== undefined).map((name) => [name, options[name]]),
  )
}

function describe(name: SettingName): string {
  const { kind, doc, default: value } = settingOf(name)
  const unit = kind === 'duration' ? ' ms' : kind === 'size' ? ' bytes' : ''
  return `${doc} Default: ${value}${unit}`
}
