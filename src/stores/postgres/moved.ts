import type { HostPort, StorePlace } from '../../ports/store.ts'
import type { PostgresStoreOptions } from './options.ts'

/**
 * A store that was moved to another schema of its server: the driver's own options in place of a URL or a pool. Its sessions are found by
 * their names, so a URL names none.
 */
export interface MovedOptions {
  readonly driver: object
  /** See `PostgresStoreOptions.directConnectionString`. */
  readonly direct?: object | undefined
  readonly pooler?: PostgresStoreOptions['pooler']
}

export function movedOptions(options: PostgresStoreOptions, { way }: StorePlace): MovedOptions {
  const { directConnectionString: direct, pooler } = options
  const driver = driverOptions(options)
  return {
    driver: unnamed(way === undefined ? driver : through(driver, way)),
    direct: direct === undefined ? undefined : unnamed({ connectionString: direct }),
    ...(pooler === undefined ? {} : { pooler }),
  }
}

/** What the driver is given for connections that are made beside those of a pool. */
export function driverOptions({ pool, connectionString }: PostgresStoreOptions): object {
  if (pool === undefined) return { connectionString }
  // A pool hides its password from whoever lists its options.
  const { password } = pool.options as { password?: unknown }
  return password === undefined ? pool.options : { ...pool.options, password }
}

/** `null` where a proxy would not be taken for the server: behind a socket's file, or where its certificate is looked at. */
export function listeningPlace(options: PostgresStoreOptions): HostPort | null {
  const { connectionString, host, port, ssl } = driverOptions(options) as DriverOptions
  if (connectionString !== undefined) return placeOf(connectionString, isPlain(ssl))
  const name = host ?? process.env['PGHOST'] ?? 'localhost'
  return isPlain(ssl) && !name.startsWith('/')
    ? { host: name, port: Number(port ?? process.env['PGPORT'] ?? 5432) }
    : null
}

interface DriverOptions {
  readonly connectionString?: string
  readonly host?: string
  readonly port?: number
  readonly ssl?: unknown
}

const plainModes: readonly (string | null)[] = [null, 'disable', 'no-verify']

/** Whether no certificate is looked at, as far as options and environment say. */
function isPlain(ssl: unknown): boolean {
  return ssl === undefined ? plainModes.includes(process.env['PGSSLMODE'] ?? null) : ssl === false
}

/** `isPlainElse`: what holds where the URL itself says nothing. */
function placeOf(connectionString: string, isPlainElse: boolean): HostPort | null {
  if (!URL.canParse(connectionString)) return null
  const { protocol, hostname, port, searchParams } = new URL(connectionString)
  const mode = searchParams.get('sslmode')
  const isTaken =
    /^postgres(?:ql)?:$/u.test(protocol) &&
    hostname !== '' &&
    !hostname.startsWith('%') &&
    !searchParams.has('host') &&
    // Any other word on TLS, a file of certificates too, makes the driver look at one.
    ![...searchParams.keys()].some((name) => name !== 'sslmode' && name.startsWith('ssl')) &&
    (mode === null ? isPlainElse : plainModes.includes(mode))
  return isTaken ? { host: hostname.replaceAll(/^\[|\]$/gu, ''), port: Number(port || 5432) } : null
}

function unnamed(driver: object): object {
  const { connectionString } = driver as DriverOptions
  if (connectionString === undefined || !URL.canParse(connectionString)) return driver
  const url = new URL(connectionString)
  if (!url.searchParams.has('application_name')) return driver
  url.searchParams.delete('application_name')
  return { ...driver, connectionString: url.href }
}

function through(driver: object, { host, port }: HostPort): object {
  const { connectionString } = driver as DriverOptions
  if (connectionString === undefined) return { ...driver, host, port }
  const url = new URL(connectionString)
  url.hostname = host
  url.port = String(port)
  return { ...driver, connectionString: url.href }
}
