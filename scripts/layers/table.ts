import packageJson from '../../package.json' with { type: 'json' }

/** What a folder of `src` may import, besides itself and `node:` modules. */
export interface Layer {
  readonly layers: readonly string[]
  /** npm packages, by the full name. */
  readonly packages: readonly string[]
  /** Sub-folders are adapters of one another's kind and never import each other. */
  readonly hasSeparateFolders?: boolean
  /** Whether it uses Waybill as its users do, through the entry files. */
  readonly usesEntries?: boolean
  /** Whether it may import what only its run time knows (a user's configuration file, a child's script). */
  readonly loadsByPath?: boolean
}

const peers = Object.keys(packageJson.peerDependencies)
const dependencies = Object.keys(packageJson.dependencies)

const core = ['kernel', 'ports', 'guarantees']
const mechanisms = [...core, 'outbox', 'inbox', 'two-phase', 'relay', 'consumer']
const adapters = ['stores', 'transports', 'transactions', 'changefeeds']
const everything = [
  ...mechanisms,
  ...adapters,
  'app',
  'monitor',
  'integrations',
  'dashboard',
  'demo',
  'prove',
  'cli',
  'testing',
]

const adapter: Layer = { layers: ['kernel', 'ports'], packages: [], hasSeparateFolders: true }
const outside: Layer = { layers: ['app'], packages: [], usesEntries: true }
const tool: Layer = {
  layers: everything,
  packages: [...peers, ...dependencies],
  usesEntries: true,
  loadsByPath: true,
}

/** The table of ARCHITECTURE.md. A folder that is missing here may not exist. */
export const layers: Readonly<Record<string, Layer>> = {
  kernel: { layers: [], packages: [] },
  ports: { layers: ['kernel'], packages: [] },
  guarantees: { layers: ['kernel'], packages: [] },
  outbox: { layers: core, packages: [] },
  inbox: { layers: core, packages: [] },
  'two-phase': { layers: core, packages: [] },
  relay: { layers: [...core, 'outbox'], packages: [] },
  consumer: { layers: [...core, 'outbox', 'inbox'], packages: [] },
  stores: adapter,
  transports: adapter,
  changefeeds: adapter,
  transactions: adapter,
  app: { layers: [...mechanisms, ...adapters], packages: [], loadsByPath: true },
  monitor: { layers: ['kernel'], packages: [...dependencies, '@opentelemetry/api'] },
  integrations: { ...outside, packages: peers },
  dashboard: { ...outside, packages: dependencies },
  demo: { ...outside, packages: peers, loadsByPath: true },
  prove: { ...tool, packages: peers },
  cli: tool,
  testing: { ...tool, packages: peers },
}

/** npm packages a single adapter folder may import: the driver it is named for. */
export const drivers: Readonly<Record<string, readonly string[]>> = {
  'stores/postgres': ['pg'],
  'transports/kafka': ['@platformatic/kafka'],
}

/** What may be found in the whole import graph of each entry file, type imports and dynamic ones included. */
export const entries: Readonly<Record<string, readonly string[]>> = {
  'index.ts': [],
  'postgres.ts': ['pg'],
  'kafka.ts': ['@platformatic/kafka'],
  'local.ts': [],
  'monitor.ts': ['hono', '@hono/node-server', 'prom-client'],
  'otel.ts': ['@opentelemetry/api'],
  'testing.ts': peers,
}

/** The kernel does no I/O: of Node it may use only what computes. */
export const kernelBuiltins: readonly string[] = [
  'node:async_hooks',
  'node:crypto',
  'node:diagnostics_channel',
  'node:util',
  'node:timers',
]
