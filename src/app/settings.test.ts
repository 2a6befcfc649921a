import { describe, expect, it } from 'vitest'
import { isWaybillError } from '../kernel/errors.ts'
import { settingNames, settingOf, settingsTable } from './settings-table.ts'
import { resolveSettings, type SettingsSources } from './settings.ts'

function refusal(sources: SettingsSources): string {
  try {
    resolveSettings(sources)
  } catch (error) {
    if (isWaybillError(error) && error.code === 'WB_INVALID_OPTION') return error.message
    throw error
  }
  throw new Error('the settings were accepted')
}

describe('resolveSettings', () => {
  it('gives every default of the table where nothing is set', () => {
    const defaults = Object.fromEntries(settingNames.map((name) => [name, settingsTable[name].default]))
    expect(resolveSettings()).toEqual(defaults)
    expect(
      resolveSettings({ flags: { leaseMs: undefined }, env: { WAYBILL_BATCH_SIZE: '' }, file: {} }),
    ).toEqual(defaults)
  })

  it('gives defaults that its own rules accept', () => {
    for (const name of settingNames) {
      expect(resolveSettings({ file: { [name]: settingsTable[name].default } })[name]).toBe(
        settingsTable[name].default,
      )
    }
  })

  it('prefers a flag to a variable, a variable to the file, the file to the default', () => {
    const file = { batchSize: 3, readLimit: 30, maxSends: 5 }
    const env = { WAYBILL_BATCH_SIZE: '2', WAYBILL_READ_LIMIT: '20' }
    const settings = resolveSettings({ flags: { batchSize: '1' }, env, file })
    expect(settings).toMatchObject({ batchSize: 1, readLimit: 20, maxSends: 5, maxAttempts: 10 })
  })

  it('cannot be changed once resolved', () => {
    expect(Object.isFrozen(resolveSettings())).toBe(true)
  })

  it.each([
    ['15s', 15_000],
    ['500ms', 500],
    ['2m', 120_000],
    ['2 min', 120_000],
    ['1h', 3_600_000],
    ['1.1s', 1100],
    ['1500', 1500],
    [' 1500 ', 1500],
    [700, 700],
  ])('reads the duration %j of a flag as %d ms', (text, ms) => {
    expect(resolveSettings({ flags: { stopTimeoutMs: text } }).stopTimeoutMs).toBe(ms)
  })

  it.each([
    ['10MB', 10_000_000],
    ['10 kB', 10_000],
    ['1GiB', 1_073_741_824],
    ['1.5mib', 1_572_864],
    ['2048B', 2048],
    ['2048', 2048],
  ])('reads the size %j of a variable as %d bytes', (text, bytes) => {
    expect(resolveSettings({ env: { WAYBILL_MAX_IN_FLIGHT_BYTES: text } }).maxInFlightBytes).toBe(bytes)
  })

  it('reads days', () => {
    expect(resolveSettings({ flags: { retryMaxMs: '1d' } }).retryMaxMs).toBe(86_400_000)
  })
})

describe('a wrong option', () => {
  it.each([
    [
      'an unknown name in the file',
      { file: { leasMs: 1 } },
      'There is no option "leasMs" (from the configuration). Did you mean "leaseMs"?',
    ],
    ['an unknown flag', { flags: { batch: 1 } }, 'There is no option "batch" (from a flag).'],
    ['a name every object has', { file: { constructor: 1 } }, 'There is no option "constructor"'],
    [
      'a mistyped variable',
      { env: { WAYBILL_LEASE_SM: '1' } },
      'WAYBILL_LEASE_SM. Did you mean "WAYBILL_LEASE_MS"?',
    ],
    ['a variable without its unit', { env: { WAYBILL_LEASE: '1' } }, 'Did you mean "WAYBILL_LEASE_MS"?'],
    [
      'text for a number in the file',
      { file: { leaseMs: '15s' } },
      'Option leaseMs must be a whole number of milliseconds from 200 to 3600000, and is "15s" (from the configuration).',
    ],
    ['a number too low', { flags: { leaseMs: 199 } }, 'is 199 (from --lease-ms)'],
    [
      'a number too high',
      { env: { WAYBILL_PARTITIONS: '1025' } },
      'from 1 to 1024, and is "1025" (from WAYBILL_PARTITIONS)',
    ],
    ['a fraction', { file: { batchSize: 1.5 } }, 'a whole number from 1 to 100000, and is 1.5'],
    ['a fraction of a millisecond', { flags: { pollMinMs: '1.5ms' } }, 'and is "1.5ms"'],
    ['NaN', { file: { batchSize: Number.NaN } }, 'and is NaN'],
    ['a negative duration', { flags: { leaseMs: '-5s' } }, 'and is "-5s"'],
    ['a unit of another kind', { flags: { leaseMs: '5MB' } }, 'whole number of milliseconds'],
    ['a unit on a count', { flags: { batchSize: '5k' } }, 'whole number from 1'],
    ['a hexadecimal number', { flags: { batchSize: '0x10' } }, 'and is "0x10"'],
    ['null', { file: { batchSize: null } }, 'and is null'],
    ['an array', { file: { batchSize: [] } }, 'and is an array'],
    ['an object', { file: { source: {} } }, 'and is of type object'],
    ['a boolean', { file: { source: true } }, 'and is true'],
    [
      'an unknown choice',
      { env: { WAYBILL_LOG_LEVEL: 'inf' } },
      'one of debug, info, warn, error, silent, and is "inf" (from WAYBILL_LOG_LEVEL). Did you mean "info"?',
    ],
    ['a number for a choice', { file: { logLevel: 3 } }, 'Option logLevel must be one of'],
    ['empty text', { file: { source: '' } }, 'text of 1 to 256 characters'],
    ['text too long', { file: { applicationName: 'x'.repeat(64) } }, 'a text of 64 characters'],
    ['a line break in a name', { file: { applicationName: 'a\nb' } }, 'without control characters'],
  ] satisfies [string, SettingsSources, string][])('is refused by name: %s', (_what, sources, message) => {
    expect(refusal(sources)).toContain(message)
  })

  it('is refused even where a stronger source covers it', () => {
    expect(refusal({ flags: { batchSize: 1 }, file: { batchSize: 0 } })).toContain('(from the configuration)')
  })

  it('is not quoted where it may be a connection string', () => {
    const message = refusal({ flags: { logLevel: 'postgres://user:secret@host/db' } })
    expect(message).toContain('a text of 30 characters')
    expect(message).not.toContain('secret')
  })

  it('is not seen in variables of other makers that begin with the same word', () => {
    const env = {
      WAYBILL_PORT: 'tcp://10.0.0.1:80',
      WAYBILL_SERVICE_HOST: '10.0.0.1',
      WAYBILL_TEST_DEMAND: 'kafka',
      WAYBILL_FAILPOINTS: 'relay.after-send=kill',
    }
    expect(resolveSettings({ env })).toEqual(resolveSettings())
  })
})

describe('settings that must hold together', () => {
  it('shrinks a time-out that nobody chose to half of a small lease', () => {
    const settings = resolveSettings({ file: { leaseMs: 2000 } })
    expect(settings).toMatchObject({ publishTimeoutMs: 1000, handlerTimeoutMs: 1000 })
    expect(resolveSettings({ file: { leaseMs: 9000 } })).toMatchObject({
      publishTimeoutMs: 5000,
      handlerTimeoutMs: 4500,
    })
  })

  it('refuses a chosen time-out that does not fit, and says what to change', () => {
    expect(refusal({ file: { leaseMs: 2000 }, env: { WAYBILL_PUBLISH_TIMEOUT_MS: '5s' } })).toBe(
      'Option publishTimeoutMs is 5000 (from WAYBILL_PUBLISH_TIMEOUT_MS), more than two thirds of leaseMs, which is 2000 ' +
        '(from the configuration). Set publishTimeoutMs to 1333 or less, or leaseMs to 7500 or more.',
    )
    expect(refusal({ flags: { handlerTimeoutMs: '11s' } })).toContain('which is 15000 (from its default)')
  })

  it('accepts exactly what that message proposes', () => {
    expect(resolveSettings({ file: { leaseMs: 2000, publishTimeoutMs: 1333 } }).publishTimeoutMs).toBe(1333)
    expect(resolveSettings({ file: { leaseMs: 7500, publishTimeoutMs: 5000 } }).publishTimeoutMs).toBe(5000)
  })

  it.each([
    ['pollMinMs', 'pollMaxMs'],
    ['retryInitialMs', 'retryMaxMs'],
    ['holdInitialMs', 'holdMaxMs'],
  ] as const)('refuses %s above %s', (low, high) => {
    expect(refusal({ file: { [low]: 60_000, [high]: 50 } })).toBe(
      `Option ${low} is 60000 (from the configuration), more than ${high}, which is 50 (from the configuration). ` +
        `Raise ${high} or lower ${low}.`,
    )
    expect(resolveSettings({ file: { [low]: 50, [high]: 50 } })[low]).toBe(50)
  })
})

describe('the settings table', () => {
  it.each(settingNames)('says in one sentence what %s is, and names its unit', (name) => {
    const setting = settingOf(name)
    expect(setting.doc).toMatch(/^[A-Z][^\n]*\.$/u)
    expect(name.endsWith('Ms')).toBe(setting.kind === 'duration')
    expect(name.endsWith('Bytes')).toBe(setting.kind === 'size')
  })
})
