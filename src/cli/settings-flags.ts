import { InvalidArgumentError, Option, type Command } from 'commander'
import { settingValue } from '../app/settings-value.ts'
import { describeError } from '../kernel/errors.ts'
import { flagOf, settingNames, settingOf, type SettingName } from '../app/settings-table.ts'

const placeholders = {
  duration: 'duration',
  size: 'size',
  count: 'number',
  choice: 'word',
  text: 'text',
} as const

/**
 * Gives a command a flag for each line of the settings table. How they go together is judged where all sources meet. `others`: what a
 * flag does in this command, where it is more than the setting's own text says.
 */
export function addSettingFlags(
  command: Command,
  others: Readonly<Partial<Record<SettingName, string>>> = {},
): Command {
  command.optionsGroup('Settings (also WAYBILL_* variables and the configuration file; a flag counts first):')
  for (const name of settingNames) {
    const setting = settingOf(name)
    const option = new Option(
      `${flagOf(name)} <${placeholders[setting.kind]}>`,
      others[name] ?? describe(name),
    )
    if (setting.kind === 'choice') option.choices(setting.choices)
    else option.argParser((text: string) => judged(name, text))
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

/** A value that cannot be is a wrong command line; the text goes on as it is. */
function judged(name: SettingName, text: string): string {
  try {
    settingValue(name, text, true, flagOf(name))
    return text
  } catch (error) {
    throw new InvalidArgumentError(describeError(error).message)
  }
}

function describe(name: SettingName): string {
  const { kind, doc, default: value } = settingOf(name)
  const unit = kind === 'duration' ? ' ms' : kind === 'size' ? ' bytes' : ''
  return `${doc} Default: ${value}${unit}`
}
