/**
 * Every setting there is, once: this table gives the types, the defaults, the limits, the environment variables, the
 * flags and docs/configuration.md. A duration is a whole number of milliseconds, a size one of bytes.
 */
export const settingsTable = {
  leaseMs: {
    kind: 'duration',
    default: 15_000,
    min: 200,
    max: 3_600_000,
    doc: 'How long a relay holds its partitions without a sign of life; after a crash another takes over within this time.',
  },
  partitions: {
    kind: 'count',
    default: 16,
    min: 1,
    max: 1024,
    doc: 'Partitions given to each transport when it is first registered; the unit of order and of lease.',
  },
  pollMinMs: {
    kind: 'duration',
    default: 5,
    min: 1,
    max: 60_000,
    doc: 'Pause before the next read of the outbox while messages keep coming.',
  },
  pollMaxMs: {
    kind: 'duration',
    default: 250,
    min: 1,
    max: 600_000,
    doc: 'Longest pause before the next read of an outbox that stays empty.',
  },
  notify: {
    kind: 'choice',
    default: 'on',
    choices: ['on', 'off'],
    doc: 'Whether processes tell each other at once that there is something new (LISTEN and NOTIFY); polling is always behind it.',
  },
  batchSize: {
    kind: 'count',
    default: 1000,
    min: 1,
    max: 100_000,
    doc: 'Messages in one send to a transport, at most.',
  },
  fencedBatchSize: {
    kind: 'count',
    default: 10_000,
    min: 1,
    max: 100_000,
    doc: 'Messages in one transaction of the broker, at most, where exactly-once goes through its transactions.',
  },
  readLimit: {
    kind: 'count',
    default: 256,
    min: 1,
    max: 10_000,
    doc: 'Rows of one partition in one read of the outbox, at most.',
  },
  maxInFlight: {
    kind: 'count',
    default: 6000,
    min: 1,
    max: 1_000_000,
    doc: 'Messages a lane holds in memory, at most.',
  },
  maxInFlightBytes: {
    kind: 'size',
    default: 67_108_864,
    min: 1024,
    max: 4_294_967_296,
    doc: 'Payload bytes a lane holds in memory, at most; one message larger than that still passes, alone.',
  },
  maxSends: {
    kind: 'count',
    default: 4,
    min: 1,
    max: 256,
    doc: 'Sends a lane has under way at one time, at most. Of three or more the last one is for a channel that has none.',
  },
  maxAttempts: {
    kind: 'count',
    default: 10,
    min: 1,
    max: 1_000_000,
    doc: 'Attempts that end in a definite failure before a message becomes a dead letter.',
  },
  retryInitialMs: {
    kind: 'duration',
    default: 200,
    min: 1,
    max: 3_600_000,
    doc: 'Pause after the first failed attempt of a message; it doubles with each further one.',
  },
  retryMaxMs: {
    kind: 'duration',
    default: 60_000,
    min: 1,
    max: 86_400_000,
    doc: 'Longest pause between two attempts of a message.',
  },
  holdInitialMs: {
    kind: 'duration',
    default: 100,
    min: 1,
    max: 3_600_000,
    doc: 'How long a destination that fails for every message is left alone at first; it doubles with each further failure.',
  },
  holdMaxMs: {
    kind: 'duration',
    default: 2000,
    min: 1,
    max: 3_600_000,
    doc: 'How long a destination that fails for every message is left alone, at most.',
  },
  publishTimeoutMs: {
    kind: 'duration',
    default: 5000,
    min: 10,
    max: 3_600_000,
    doc: 'How long a send may take before its messages count as unknown.',
  },
  sendDeadlineMs: {
    kind: 'duration',
    default: 30_000,
    min: 10,
    max: 3_600_000,
    doc: 'How long `send()` tries to get its message confirmed before it throws `PublishOutcomeUnknownError`.',
  },
  handlerTimeoutMs: {
    kind: 'duration',
    default: 10_000,
    min: 10,
    max: 3_600_000,
    doc: 'How long a handler may take before its signal aborts and its transaction rolls back.',
  },
  consumerBatchSize: {
    kind: 'count',
    default: 100,
    min: 1,
    max: 10_000,
    doc: 'Messages handled in one transaction of a consumer, at most.',
  },
  consumerWindow: {
    kind: 'count',
    default: 5000,
    min: 1,
    max: 1_000_000,
    doc: 'Messages a consumer holds in memory, at most.',
  },
  inboxRetentionMs: {
    kind: 'duration',
    default: 1_209_600_000,
    min: 1000,
    max: 31_536_000_000,
    doc: 'How long the inbox remembers a message. A copy that comes later is handled again, so it must be longer than any redelivery; `waybill explain` checks it.',
  },
  retainMs: {
    kind: 'duration',
    default: 0,
    min: 0,
    max: 31_536_000_000,
    doc: 'How long messages are kept after they were sent, by whole days, for `waybill replay`; 0 deletes them at once. At-most-once messages are never kept.',
  },
  cleanupIntervalMs: {
    kind: 'duration',
    default: 60_000,
    min: 100,
    max: 86_400_000,
    doc: 'Pause between two cleanups of what is past its retention.',
  },
  statementTimeoutMs: {
    kind: 'duration',
    default: 10_000,
    min: 10,
    max: 3_600_000,
    doc: 'How long one of Waybill’s own statements may take in the database.',
  },
  lockTimeoutMs: {
    kind: 'duration',
    default: 5000,
    min: 10,
    max: 3_600_000,
    doc: 'How long a statement may wait for a row or key lock.',
  },
  stopTimeoutMs: {
    kind: 'duration',
    default: 10_000,
    min: 0,
    max: 3_600_000,
    doc: 'How long a stop waits for what is under way before it gives it up.',
  },
  httpPort: {
    kind: 'count',
    default: 0,
    min: 0,
    max: 65_535,
    doc: 'Port on which the monitor serves /metrics, /healthz and /readyz; 0 serves nothing.',
  },
  httpHost: {
    kind: 'text',
    default: '127.0.0.1',
    maxLength: 255,
    doc: 'Address on which the monitor listens. Only this machine reaches the default; 0.0.0.0 lets in whoever the network lets through.',
  },
  logLevel: {
    kind: 'choice',
    default: 'info',
    choices: ['debug', 'info', 'warn', 'error', 'silent'],
    doc: 'The least important lines that are logged.',
  },
  applicationName: {
    kind: 'text',
    default: 'waybill',
    maxLength: 63,
    doc: 'Shown by databases and brokers beside each connection.',
  },
  source: {
    kind: 'text',
    default: '/waybill',
    maxLength: 256,
    doc: 'CloudEvents `source` of what this service publishes: a URI reference.',
  },
} as const

export type SettingName = keyof typeof settingsTable

/** A line of the table, seen without its name. */
export type Setting =
  | {
      readonly kind: 'duration' | 'size' | 'count'
      readonly default: number
      readonly min: number
      readonly max: number
      readonly doc: string
    }
  | {
      readonly kind: 'choice'
      readonly default: string
      readonly choices: readonly string[]
      readonly doc: string
    }
  | { readonly kind: 'text'; readonly default: string; readonly maxLength: number; readonly doc: string }

export const settingNames: readonly SettingName[] = Object.keys(settingsTable) as SettingName[]

export function settingOf(name: SettingName): Setting {
  return settingsTable[name]
}

/** `leaseMs` → `WAYBILL_LEASE_MS` */
export function variableOf(name: SettingName): string {
  return `WAYBILL_${words(name, '_').toUpperCase()}`
}

/** `leaseMs` → `--lease-ms` */
export function flagOf(name: SettingName): string {
  return `--${words(name, '-')}`
}

function words(name: string, separator: string): string {
  return name.replaceAll(/[A-Z]/gu, (letter) => separator + letter.toLowerCase())
}
