import { WaybillError } from '../kernel/errors.ts'
import { didYouMean } from '../kernel/suggest.ts'
import { deadReasons, type DeadLetterFilter } from '../ports/dead-letters.ts'
import { keyStates, type KeyFilter } from '../ports/keys.ts'

/** What dead letters are meant. Whoever means all of them says so: a filter that is empty by mistake changes nothing. */
export interface DeadLetterSelection extends DeadLetterFilter {
  /** Every dead letter there is. @default false */
  readonly all?: boolean | undefined
}

/** What held keys are meant. */
export interface KeySelection extends KeyFilter {
  /** Every key that is held. @default false */
  readonly all?: boolean | undefined
}

/** How long ago can be meant: a database reckons no time before the first year. */
export const longestAgoMs: number = 100 * 365 * 86_400_000

type Check = (value: unknown) => string | undefined

const isText: Check = (value) => (typeof value === 'string' ? undefined : 'a text')
const isCount: Check = (value) =>
  Number.isSafeInteger(value) && (value as number) >= 0 ? undefined : 'a whole number'
const isDuration: Check = (value) =>
  typeof value === 'number' && value >= 0 && value <= longestAgoMs
    ? undefined
    : 'a number of milliseconds, of 100 years at most'
const isFlag: Check = (value) => (typeof value === 'boolean' ? undefined : 'true or false')
const oneOf =
  (words: readonly string[]): Check =>
  (value) =>
    words.includes(value as string) ? undefined : `one of ${words.join(', ')}`
const listOf =
  (check: Check, what: string): Check =>
  (value) =>
    Array.isArray(value) && value.every((each) => check(each) === undefined) ? undefined : `a list of ${what}`
const isUuid: Check = (value) =>
  typeof value === 'string' && /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/iu.test(value)
    ? undefined
    : 'a UUID'

const common = {
  all: isFlag,
  channel: isText,
  consumer: isText,
  key: isText,
  ids: listOf(isUuid, 'UUIDs'),
  olderThanMs: isDuration,
  newerThanMs: isDuration,
} satisfies Record<string, Check>

const deadLetterChecks: Readonly<Record<keyof DeadLetterSelection, Check>> = {
  ...common,
  numbers: listOf(isCount, 'whole numbers'),
  reason: oneOf(deadReasons),
  upTo: isCount,
}

const keyChecks: Readonly<Record<keyof KeySelection, Check>> = { ...common, state: oneOf(keyStates) }

/** Throws `WB_INVALID_OPTION` for what cannot be meant. */
export function checkDeadLetters(filter: DeadLetterSelection): DeadLetterFilter {
  return checked(filter, deadLetterChecks)
}

export function checkKeys(filter: KeySelection): KeyFilter {
  return checked(filter, keyChecks)
}

/** The same for what changes something: an empty filter is refused. `upTo` alone says nothing. */
export function checkSelected<Filter extends DeadLetterSelection | KeySelection>(
  filter: Filter,
  check: (filter: Filter) => Omit<Filter, 'all'>,
): Omit<Filter, 'all'> {
  const own = check(filter)
  const isEmpty = Object.entries(own).every(([name, value]) => value === undefined || name === 'upTo')
  if (isEmpty && filter.all !== true) {
    throw new WaybillError(
      'WB_INVALID_OPTION',
      'The filter names nothing. Narrow it by channel, key, id or age, or say that all are meant: { all: true }.',
    )
  }
  return own
}

function checked<Filter extends object>(
  filter: Filter & { readonly all?: boolean | undefined },
  checks: Readonly<Record<string, Check>>,
): Omit<Filter, 'all'> {
  if (typeof filter !== 'object' || filter === null) {
    throw new WaybillError('WB_INVALID_OPTION', 'A filter is an object such as { channel: "orders.placed" }.')
  }
  checkEach('A filter', filter, checks)
  const { all: _all, ...own } = filter
  return own
}

function checkEach(what: string, given: object, checks: Readonly<Record<string, Check>>): void {
  for (const [name, value] of Object.entries(given)) {
    const check = Object.hasOwn(checks, name) ? checks[name] : undefined
    if (check === undefined) {
      const hint = didYouMean(name, Object.keys(checks))
      throw new WaybillError('WB_INVALID_OPTION', `${what} has no ${JSON.stringify(name)}.${hint}`)
    }
    const wanted = value === undefined ? undefined : check(value)
    if (wanted !== undefined) throw new WaybillError('WB_INVALID_OPTION', `${name} must be ${wanted}.`)
  }
}

/** Lines in one page, at most. */
const mostListed = 1000

/** A page of a list as it was asked for. Throws `WB_INVALID_OPTION`. */
export function checkPage<After>(
  page: { readonly after?: After | undefined; readonly limit?: number | undefined },
  after: Check,
): { readonly after: After | undefined; readonly limit: number } {
  checkEach('A page', page, { after, limit: () => undefined })
  return { after: page.after, limit: checkLimit(page.limit ?? 50, mostListed) }
}

/** What bounds a change: misspelt, it would bound nothing. Throws `WB_INVALID_OPTION`. */
export function checkOptions(options: object): void {
  const isAny: Check = () => undefined
  checkEach('An operation', options, { limit: isAny, signal: isAny })
}

/** A number of a dead letter: 0 is before the first. */
export const isLetterNumber: Check = isCount

export const isLineName: Check = (value) => {
  const { consumer, partition, seq } = (value ?? {}) as Readonly<Record<string, unknown>>
  return typeof consumer === 'string' && isCount(partition) === undefined && typeof seq === 'bigint'
    ? undefined
    : 'a key of the list, or its { consumer, partition, seq }'
}

/** Throws `WB_INVALID_OPTION`. */
export function checkLimit(limit: number, most: number): number {
  if (Number.isInteger(limit) && limit >= 1 && limit <= most) return limit
  throw new WaybillError('WB_INVALID_OPTION', `limit must be a whole number from 1 to ${most}.`)
}
