import { Command } from 'commander'
import { describe, expect, it } from 'vitest'
import { flagOf, settingNames, settingOf } from '../app/settings-table.ts'
import { addSettingFlags, settingFlags } from './settings-flags.ts'

describe('flags of the settings', () => {
  it('come back under the names of their settings, every one of them', () => {
    const given = settingNames.flatMap((name) => [flagOf(name), String(settingOf(name).default)])
    const command = addSettingFlags(new Command()).exitOverride()
    command.parse(given, { from: 'user' })
    const expected = Object.fromEntries(settingNames.map((name) => [name, String(settingOf(name).default)]))
    expect(settingFlags(command.opts())).toEqual(expected)
  })

  it('are left out where they were not given, with whatever else was', () => {
    expect(settingFlags({ json: true, config: 'x', leaseMs: '5s', batchSize: undefined })).toEqual({
      leaseMs: '5s',
    })
  })

  it('are wrong command lines where their values cannot be', () => {
    const command = addSettingFlags(new Command().configureOutput({ writeErr: () => {} })).exitOverride()
    expect(() => command.parse(['--lease-ms', 'soon'], { from: 'user' })).toThrow(
      expect.objectContaining({ code: 'commander.invalidArgument' }),
    )
  })
})
