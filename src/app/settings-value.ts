import { WaybillError } from '../kernel/errors.ts'
import { didYouMean } from '../kernel/suggest.ts'
import { settingOf, type Setting, type SettingName } from './settings-table.ts'

const durationUnits: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  min: 60_000,
  h: 3_600_000,
  d: 86_400_000,
}

/** Powers of ten are named as in the SI, powers of two with an `i`. */
const sizeUnits: Readonly<Record<string, number>> = {
  b: 1,
  kb: 1000,
  mb: 1_000_000,
  gb: 1_000_000_000,
  kib: 1024,
  mib: 1_048_576,
  gib: 1_073_741_824,
}

/**
 * `value` as the setting's own type, or `WB_INVALID_OPTION`. Text is read as a number only where text is all there is:
 * in flags and environment variables (`isText`); in a file a number is written as one.
 */
export function settingValue(
  name: SettingName,
  value: unknown,
  isText: boolean,
  origin: string,
): number | string {
  const setting = settingOf(name)
  if (setting.kind === 'choice' || setting.kind === 'text') {
    if (typeof value === 'string' && accepts(setting, value)) return value
    const hint =
      setting.kind === 'choice' && typeof value === 'string' ? didYouMean(value, setting.choices) : ''
    throw invalid(name, setting, value, origin, hint)
  }
  const number = typeof value === 'string' && isText ? parse(setting.kind, value) : value
  if (
    typeof number === 'number' &&
    Number.isInteger(number) &&
    number >= setting.min &&
    number <= setting.max
  ) {
    return number
  }
  throw invalid(name, setting, value, origin, '')
}

function accepts(setting: Setting, value: string): boolean {
  if (setting.kind === 'choice') return setting.choices.includes(value)
  return setting.kind === 'text' && value !== '' && value.length <= setting.maxLength && !hasControl(value)
}

/** Names travel in protocol fields and log lines: PostgreSQL refuses a NUL there, and a line break forges a line. */
function hasControl(value: string): boolean {
  return /\p{Cc}/u.test(value)
}

/**
 * A duration as people give it, `7d` or `2h`, in milliseconds. `undefined`: it is none. Nor is a number alone: whoever gives
 * `--older-than 30` means days, and of milliseconds it would take everything.
 */
export function durationOf(text: string): number | undefined {
  return /[a-z]/iu.test(text) ? parse('duration', text) : undefined
}

function parse(kind: 'duration' | 'size' | 'count', text: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?) ?([a-z]*)$/iu.exec(text.trim())
  if (match === null) return undefined
  const unit = match[2]!
  if (unit === '') return Number(match[1])
  const units = kind === 'duration' ? durationUnits : kind === 'size' ? sizeUnits : {}
  const factor = units[unit.toLowerCase()]
  // 1.1 s is 1100 ms, though 1.1 * 1000 is not quite.
  return factor === undefined ? undefined : Math.round(Number(match[1]) * factor * 1000) / 1000
}

function invalid(
  name: SettingName,
  setting: Setting,
  value: unknown,
  origin: string,
  hint: string,
): WaybillError {
  return new WaybillError(
    'WB_INVALID_OPTION',
    `Option ${name} must be ${expected(setting)}, and is ${shown(value)} (from ${origin}).${hint}`,
  )
}

function expected(setting: Setting): string {
  switch (setting.kind) {
    case 'duration':
      return `a whole number of milliseconds from ${setting.min} to ${setting.max}`
    case 'size':
      return `a whole number of bytes from ${setting.min} to ${setting.max}`
    case 'count':
      return `a whole number from ${setting.min} to ${setting.max}`
    case 'choice':
      return `one of ${setting.choices.join(', ')}`
    case 'text':
      return `text of 1 to ${setting.maxLength} characters without control characters`
  }
}

/** What was passed, where it is short and plain: a connection string put in the wrong place must not reach a log. */
function shown(value: unknown): string {
  if (typeof value === 'number' || typeof value === 'boolean') return String(value)
  if (value === null) return 'null'
  if (typeof value !== 'string') return Array.isArray(value) ? 'an array' : `of type ${typeof value}`
  return /^[\w.+ -]{0,24}$/u.test(value) ? `"${value}"` : `a text of ${value.length} characters`
}
