import type { DemoSchemas } from './schema.ts'

/** Half of what makes the path exactly-once, left out to see what it is for. */
export type LeftOut = 'inbox' | 'outbox'

/** What every process of a run knows; handed to children as JSON in an environment variable. */
export interface DemoSettings {
  readonly databaseUrl: string
  readonly schemas: DemoSchemas
  /** `null`: the `local` transport. */
  readonly brokers: readonly string[] | null
  readonly topic: string
  readonly consumer: string
  readonly without: LeftOut | null
  readonly customers: number
  readonly ordersPerSecond: number
}

export interface ChildSettings extends DemoSettings {
  readonly name: string
  /** For what the child leaves to chance; a new one for each start. */
  readonly seed: number
}

/** Not prefixed like Waybill's own variables: those are settings. */
const variable = 'DEMO_CHILD_SETTINGS'

export function childEnvironment(settings: ChildSettings): Readonly<Record<string, string>> {
  return { [variable]: JSON.stringify(settings) }
}

export function readChildSettings(env: Readonly<Record<string, string | undefined>>): ChildSettings {
  return JSON.parse(env[variable] ?? '') as ChildSettings
}
