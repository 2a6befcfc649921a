import { schemasOf, type DemoSchemas } from './schema.ts'

/** Half of what makes the path exactly-once, left out to see what it is for. */
export type LeftOut = 'inbox' | 'outbox'

/** What every process of a run knows; handed to children as JSON in an environment variable. */
export interface DemoSettings {
  readonly databaseUrl: string
  readonly schemas: DemoSchemas
  /** `null`: the `local` transport. */
  readonly brokers: readonly string[] | null
  readonly sessionTimeoutMs: number
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

/** Settings of the run with this id: whatever it makes bears the id in its name. */
export function settingsFor(
  wishes: Pick<DemoSettings, 'databaseUrl' | 'brokers' | 'sessionTimeoutMs' | 'without'>,
  id: string,
): DemoSettings {
  const { databaseUrl, brokers, sessionTimeoutMs, without } = wishes
  return {
    databaseUrl,
    brokers,
    sessionTimeoutMs,
    without,
    schemas: schemasOf(id),
    topic: `waybill-demo-${id}.orders.placed`,
    consumer: brokers === null ? 'shipping' : `waybill-demo-${id}.shipping`,
    customers: 40,
    // The naive consumer rests after each message, and takes one at a time from a broker: it gets a load it can carry.
    ordersPerSecond: without !== 'inbox' ? 250 : brokers === null ? 200 : 80,
  }
}

/** Not prefixed like Waybill's own variables: those are settings. */
const variable = 'DEMO_CHILD_SETTINGS'

export function childEnvironment(settings: ChildSettings): Readonly<Record<string, string>> {
  return { [variable]: JSON.stringify(settings) }
}

export function readChildSettings(env: Readonly<Record<string, string | undefined>>): ChildSettings {
  return JSON.parse(env[variable] ?? '') as ChildSettings
}
