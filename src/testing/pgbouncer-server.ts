import { accessSync, chmodSync, chownSync, constants, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { WaybillError } from '../kernel/errors.ts'
import { keep, type KeptProcess } from './keeper.ts'
import { logTail } from './log-tail.ts'
import { freePort, waitForFreePort } from './ports.ts'
import { firstReachable, serverUser } from './postgres-binaries.ts'
import { killTree } from './process-tree.ts'
import { until } from './until.ts'

export interface StartPgbouncerOptions {
  /** A database as its users know it, without a password: `postgres://user@127.0.0.1:port/database`. */
  readonly target: string
  /** @default 'transaction' */
  readonly mode?: 'transaction' | 'session'
  /** Settings of pgbouncer.ini, over those of the test server. */
  readonly settings?: Readonly<Record<string, string>>
}

/** A pgbouncer of one's own on a loopback port. */
export interface PgbouncerServer extends AsyncDisposable {
  /** Of the target, through the pooler. */
  readonly url: string
  readonly port: number
  stop(): Promise<void>
}

/** Debian keeps it in a folder that is not in everybody's path. */
const folders = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin']

/** The program, or `undefined` where it is not installed. */
export function findPgbouncer(): string | undefined {
  return folders
    .map((folder) => join(folder, 'pgbouncer'))
    .find((path) => {
      try {
        accessSync(path, constants.X_OK)
        return true
      } catch {
        return false
      }
    })
}

/** How to get it. */
export const pgbouncerHint = 'pgbouncer is not installed: apt-get install -y pgbouncer'

/**
 * Starts a pgbouncer before a PostgreSQL. It cannot outlive this process, and runs as another user where this one is root, which it
 * refuses to be.
 *
 * Throws `WB_PEER_MISSING` where it is not installed, `WB_STORE_FAILED` with the end of its log where it does not start.
 */
export async function startPgbouncer(options: StartPgbouncerOptions): Promise<PgbouncerServer> {
  const command = findPgbouncer()
  if (command === undefined) throw new WaybillError('WB_PEER_MISSING', pgbouncerHint)
  const { mode = 'transaction', settings } = options
  const target = new URL(options.target)
  const user = serverUser()
  const folder = mkdtempSync(join(firstReachable([tmpdir(), '/tmp'], user), 'waybill-pgbouncer-'))
  const own = (path: string, rights: number): void => {
    if (user.uid !== undefined) chownSync(path, user.uid, user.gid ?? user.uid)
    chmodSync(path, rights)
  }
  own(folder, 0o700)
  const port = await freePort()
  let server: KeptProcess | undefined

  const stop = async (): Promise<void> => {
    if (server !== undefined && server.exitCode() === undefined) {
      await killTree(server.pid)
      await server.waitForExit()
    }
    server?.release()
    server = undefined
    rmSync(folder, { recursive: true, force: true, maxRetries: 3 })
  }

  try {
    const [file, users] = [join(folder, 'pgbouncer.ini'), join(folder, 'users')]
    const all = {
      listen_addr: '127.0.0.1',
      listen_port: String(port),
      unix_socket_dir: '',
      auth_type: 'trust',
      auth_file: users,
      pool_mode: mode,
      max_client_conn: '500',
      ...settings,
    }
    const lines = Object.entries(all).map(([name, value]) => `${name} = ${value}\n`)
    writeFileSync(
      file,
      `[databases]\n* = host=${target.hostname} port=${target.port}\n[pgbouncer]\n${lines.join('')}`,
    )
    writeFileSync(users, `"${decodeURIComponent(target.username)}" ""\n`)
    own(file, 0o600)
    own(users, 0o600)
    await waitForFreePort(port)
    const running = (server = await keep({ command, args: [file], folder, endSignal: 'KILL', ...user }))
    await until(`a pgbouncer that listens on port ${port}`, async () => {
      if (running.exitCode() === undefined) return await listens(port)
      throw new WaybillError(
        'WB_STORE_FAILED',
        `pgbouncer on port ${port} ended at its start. The end of its log:\n${logTail(folder)}`,
      )
    })
    const url = new URL(options.target)
    url.port = String(port)
    return { url: url.href, port, stop, [Symbol.asyncDispose]: stop }
  } catch (error) {
    await stop()
    throw error
  }
}

function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}
