import { longestUnderLeaseMs } from '../guarantees/windows.ts'
import { WaybillError } from '../kernel/errors.ts'
import { didYouMean, nearest } from '../kernel/suggest.ts'
import { flagOf, settingNames, settingsTable, variableOf, type SettingName } from './settings-table.ts'
import { settingValue } from './settings-value.ts'

type Table = typeof settingsTable

/** All settings, resolved. The table in settings-table.ts says what each is. */
export type Settings = {
  readonly [Name in SettingName]: Table[Name] extends { readonly choices: readonly (infer Choice)[] }
    ? Choice
    : Table[Name] extends { readonly kind: 'text' }
      ? string
      : number
}

/** Settings as they stand in a configuration file or in code: what is left out, or `undefined`, takes its default. */
export type SettingsOptions = { readonly [Name in SettingName]?: Settings[Name] | undefined }

export interface SettingsSources {
  /** By the setting's own name (`leaseMs`); text may carry a unit (`15s`, `10MB`). */
  readonly flags?: Readonly<Record<string, unknown>> | undefined
  /** `process.env`: `WAYBILL_LEASE_MS` and so on; an empty variable counts as not set. */
  readonly env?: Readonly<Record<string, string | undefined>> | undefined
  /** From the configuration file. */
  readonly file?: SettingsOptions | Readonly<Record<string, unknown>> | undefined
}

interface Resolved {
  readonly value: number | string
  /** For error messages; `null` where it is the default. */
  readonly origin: string | null
}

/**
 * Flag before environment variable before file before default. Throws `WB_INVALID_OPTION` for a name that does not exist, a
 * value of the wrong type or out of range, and values that cannot hold together.
 */
export function resolveSettings(sources: SettingsSources = {}): Settings {
  const flags = sources.flags ?? {}
  const env = sources.env ?? {}
  const file: Readonly<Record<string, unknown>> = sources.file ?? {}
  refuseUnknown(flags, 'a flag')
  refuseUnknown(file, 'the configuration')
  refuseMistyped(env)

  const resolved = new Map<SettingName, Resolved>()
  for (const name of settingNames) {
    const variable = env[variableOf(name)]
    // Each source is judged even where a stronger one covers it: a mistake must not wait for the day the flag goes.
    const found: Resolved[] = []
    if (flags[name] !== undefined) found.push(read(name, flags[name], true, flagOf(name)))
    if (variable !== undefined && variable !== '') found.push(read(name, variable, true, variableOf(name)))
    if (file[name] !== undefined) found.push(read(name, file[name], false, 'the configuration'))
    resolved.set(name, found[0] ?? { value: settingsTable[name].default, origin: null })
  }

  for (const name of ['publishTimeoutMs', 'handlerTimeoutMs'] as const) fitIntoLease(name, resolved)
  for (const [low, high] of pairs) refuseCrossed(low, high, resolved)
  return Object.freeze(
    Object.fromEntries([...resolved].map(([name, { value }]) => [name, value])),
  ) as Settings
}

function read(name: SettingName, value: unknown, isText: boolean, origin: string): Resolved {
  return { value: settingValue(name, value, isText, origin), origin }
}

const pairs = [
  ['pollMinMs', 'pollMaxMs'],
  ['retryInitialMs', 'retryMaxMs'],
  ['holdInitialMs', 'holdMaxMs'],
] as const satisfies readonly (readonly [SettingName, SettingName])[]

function refuseUnknown(given: Readonly<Record<string, unknown>>, origin: string): void {
  for (const name of Object.keys(given)) {
    if (Object.hasOwn(settingsTable, name)) continue
    throw new WaybillError(
      'WB_INVALID_OPTION',
      `There is no option ${JSON.stringify(name.slice(0, 40))} (from ${origin}).${didYouMean(name, settingNames)}`,
    )
  }
}

const prefix = 'WAYBILL_'

/**
 * A variable that is nearly one of ours is a mistake; any other `WAYBILL_…` is not ours to judge: an orchestrator sets
 * `WAYBILL_PORT` and `WAYBILL_SERVICE_HOST` for a service that is called waybill.
 */
function refuseMistyped(env: Readonly<Record<string, string | undefined>>): void {
  const known = settingNames.map((name) => variableOf(name).slice(prefix.length))
  for (const variable of Object.keys(env)) {
    if (!variable.startsWith(prefix) || env[variable] === undefined) continue
    const rest = variable.slice(prefix.length)
    if (known.includes(rest)) continue
    const match = known.find((name) => name.startsWith(`${rest}_`)) ?? nearest(rest, known)
    if (match === undefined) continue
    throw new WaybillError(
      'WB_INVALID_OPTION',
      `There is no option for the environment variable ${variable}. Did you mean "${prefix}${match}"?`,
    )
  }
}

/**
 * What is started under a lease must end under it, with a third to spare for what comes before and after (P11). A time-out
 * that nobody chose gives way; one that was chosen is refused, and never changed behind its owner's back.
 */
function fitIntoLease(
  name: 'publishTimeoutMs' | 'handlerTimeoutMs',
  resolved: Map<SettingName, Resolved>,
): void {
  const leaseMs = resolved.get('leaseMs')!.value as number
  const { value, origin } = resolved.get(name)!
  const longestMs = longestUnderLeaseMs(leaseMs)
  if ((value as number) <= longestMs) return
  if (origin === null) {
    resolved.set(name, { value: Math.floor(leaseMs / 2), origin })
    return
  }
  throw new WaybillError(
    'WB_INVALID_OPTION',
    `Option ${name} is ${value} (from ${origin}), more than two thirds of leaseMs, which is ${leaseMs}` +
      `${fromWhere(resolved, 'leaseMs')}. Set ${name} to ${longestMs} or less, ` +
      `or leaseMs to ${Math.ceil(((value as number) * 3) / 2)} or more.`,
  )
}

function refuseCrossed(
  low: SettingName,
  high: SettingName,
  resolved: ReadonlyMap<SettingName, Resolved>,
): void {
  const [least, most] = [resolved.get(low)!.value, resolved.get(high)!.value]
  if (least <= most) return
  throw new WaybillError(
    'WB_INVALID_OPTION',
    `Option ${low} is ${least}${fromWhere(resolved, low)}, more than ${high}, which is ${most}` +
      `${fromWhere(resolved, high)}. Raise ${high} or lower ${low}.`,
  )
}

function fromWhere(resolved: ReadonlyMap<SettingName, Resolved>, name: SettingName): string {
  return ` (from ${resolved.get(name)!.origin ?? 'its default'})`
}
