import { randomBytes } from 'node:crypto'
import type { Guarantee } from '../index.ts'
import type { HostPort } from '../ports/store.ts'
import type { ServiceSettings } from './service/settings.ts'

/** What every process of a run knows; handed to children as JSON in an environment variable. */
export interface ProveSettings {
  /** Of the run: its schemas, topics and groups bear it. */
  readonly id: string
  /** As this process reaches the database: perhaps through a proxy. `null`: as the user's configuration says. */
  readonly databaseUrl: string | null
  /** The way there in place of the configuration's own. */
  readonly storeWay: HostPort | null
  /** The same of Kafka. `null`: the `local` transport. */
  readonly brokers: readonly string[] | null
  /** How soon the broker gives the partitions of a killed consumer to the other one. */
  readonly sessionTimeoutMs: number
  /** Waybill's own tables. */
  readonly schema: string
  /** The tables of the load. */
  readonly loadSchema: string
  readonly guarantees: readonly Guarantee[]
  /** Messages in a second, of all guarantees together. */
  readonly perSecond: number
  readonly leaseMs: number
  readonly canary: string
  /** What of the user's own is proven; `null`: nothing, the load is the run's own. */
  readonly service: ServiceSettings | null
  /** Of copies of the tables that the user's handlers write; `null`: there are none. */
  readonly copies: string | null
}

export interface ChildSettings extends ProveSettings {
  readonly name: string
  /** For what the child leaves to chance; a new one for each start. */
  readonly seed: number
  /** Where it appends what it does. */
  readonly history: string
}

export const runPrefix = 'waybill_prove_'

/** Two runs may be at work in one database, or at one broker. */
export function newRunId(): string {
  return `${runPrefix}${randomBytes(4).toString('hex')}`
}

/** Of the run whose name this begins with. */
export function runIdIn(name: string): string | undefined {
  return new RegExp(`^${runPrefix}[0-9a-f]{8}(?![0-9a-z_])`, 'u').exec(name)?.[0]
}

/** What the sessions of one process of a run are called, or of all its processes. */
export function sessionsOf({ id }: Pick<ProveSettings, 'id'>, process: string = ''): string {
  return `waybill prove ${id}: ${process}`
}

/** To the driver a URL's word on the sessions' name counts first, and a run finds its sessions by theirs. */
export function withoutName(databaseUrl: string): string {
  const url = new URL(databaseUrl)
  if (!url.searchParams.has('application_name')) return databaseUrl
  url.searchParams.delete('application_name')
  return url.href
}

/** Shorter ones are words that a log may hold by chance. */
const leastSecret = 8

/** What no process may say: the canary of the payloads, and the password on the way to the database, as it is and as a URL has it. */
export function secretsOf({
  canary,
  databaseUrl,
}: Pick<ProveSettings, 'canary' | 'databaseUrl'>): readonly string[] {
  // That of a configuration is known to its driver alone.
  if (databaseUrl === null) return [canary]
  const { password } = new URL(databaseUrl)
  const forms = [password, decoded(password)]
  return [canary, ...new Set(forms.filter(({ length }) => length >= leastSecret))]
}

/** `pg` takes a percent sign that encodes nothing as it is. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

/** Not prefixed like Waybill's own variables: those are settings. */
const variable = 'PROVE_CHILD_SETTINGS'

export function childEnvironment(settings: ChildSettings): Readonly<Record<string, string>> {
  return { [variable]: JSON.stringify(settings) }
}

export function readChildSettings(env: Readonly<Record<string, string | undefined>>): ChildSettings {
  return JSON.parse(env[variable] ?? '') as ChildSettings
}

/** Keys of each guarantee. Few enough that each has a history, and many enough for some to be spared by what hits one. */
export const keysPerTrack = 24

/** Of a request to a broker, in milliseconds. Faults last seconds: who finds one hanging should not need longer. */
export const requestTimeoutMs = 2000
