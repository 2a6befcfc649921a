import { flagOf, settingNames, settingOf, variableOf, type Setting } from '../../src/app/settings-table.ts'

/** docs/configuration.md, from the table that the code itself reads. */
export function configurationPage(): string {
  const rows = settingNames.map((name) => {
    const setting = settingOf(name)
    const cells = [
      `\`${name}\``,
      `\`${setting.default}\``,
      unitOf(setting),
      limitsOf(setting),
      `\`${variableOf(name)}\``,
      `\`${flagOf(name)}\``,
      setting.doc,
    ]
    return `| ${cells.join(' | ')} |`
  })
  return `${introduction}
| option | default | unit | limits | environment variable | flag | what it is |
|---|---|---|---|---|---|---|
${rows.join('\n')}
`
}

function unitOf(setting: Setting): string {
  return { duration: 'ms', size: 'bytes', count: '', choice: '', text: '' }[setting.kind]
}

function limitsOf(setting: Setting): string {
  if (setting.kind === 'choice') return setting.choices.map((choice) => `\`${choice}\``).join(', ')
  return setting.kind === 'text' ? `1 to ${setting.maxLength} characters` : `${setting.min} to ${setting.max}`
}

const introduction = `<!-- Written by "npm run docs" from src/app/settings-table.ts: change it there. -->

# Configuration

Every setting has a default. A flag of the command line is stronger than an environment variable, a variable stronger than
the configuration file. Every command that reads the configuration takes the flags: all but \`demo\` and \`advise\`. An unknown name, a value of the wrong type and a value out of its limits are refused with
\`WB_INVALID_OPTION\`, which names the option, what it must be, and where it came from.

In code and in the configuration file a duration is a number of milliseconds and a size a number of bytes. Flags and
environment variables also take a unit: \`500ms\`, \`15s\`, \`5m\`, \`1h\`, \`7d\`; \`64kB\`, \`10MB\`, \`1GB\` (powers of ten), \`64KiB\`,
\`10MiB\`, \`1GiB\` (powers of two). An empty environment variable counts as not set.

\`publishTimeoutMs\` and \`handlerTimeoutMs\` must be at most two thirds of \`leaseMs\`; where they are left at their default and do
not fit, they become half of \`leaseMs\`. \`pollMinMs\`, \`retryInitialMs\` and \`holdInitialMs\` must not exceed their \`…MaxMs\`.
`
