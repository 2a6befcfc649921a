import { spawn } from 'node:child_process'
import type { Socket } from 'node:net'
import { WaybillError } from '../kernel/errors.ts'
import { until } from './until.ts'

export interface KeepOptions {
  readonly command: string
  readonly args: readonly string[]
  /** Holds the process's data and its log; removed when this process dies without {@link KeptProcess.release}. */
  readonly folder: string
  /** What the keeper sends when this process has died: the fastest that leaves nothing behind. */
  readonly endSignal: 'QUIT' | 'KILL'
  readonly env?: NodeJS.ProcessEnv
  /** Another user to run as, where this one is root. */
  readonly uid?: number
  readonly gid?: number
}

/** A server process that cannot outlive this one. */
export interface KeptProcess {
  readonly pid: number
  /** Its exit status as the shell sees it (128 + n: signal n), or `undefined` while it runs. */
  exitCode(): number | undefined
  waitForExit(timeoutMs?: number): Promise<number>
  /** Ends the watch over the folder. Only after the process has exited. */
  release(): void
}

// SIGKILL of this process runs no handler, but the kernel closes its end of the pipe, and `read` returns. The watcher does
// the killing, the shell itself waits for the server: so the exit is known at once, and the folder is guarded even
// while the server is down between a kill and a restart.
const script = `
folder=$1 signal=$2
shift 2
exec 3<&0
"$@" 3<&- </dev/null >>"$folder/log" 2>&1 &
server=$!
trap '' HUP INT TERM PIPE
echo "pid $server"
children() {
  cat "/proc/$1/task/$1/children" 2>/dev/null || ps -A -o pid=,ppid= | awk -v p="$1" '$2 == p { print $1 }'
}
{
  if ! read -r word; then
    : >"$folder/orphaned"
    if [ ! -e "$folder/exited.$server" ]; then
      kill -CONT $server $(children $server)
      kill -$signal $server
    fi
  fi
} <&3 2>/dev/null &
watcher=$!
wait $server
code=$?
: >"$folder/exited.$server"
echo "exit $code"
wait $watcher
if [ -e "$folder/orphaned" ]; then rm -rf "$folder"; fi
`

/**
 * Starts a process under a shell that holds a pipe from this one and ends the process when the pipe ends, however this
 * process died. In a session of its own, so that Ctrl-C in a terminal reaches it through its owner only.
 */
export async function keep(options: KeepOptions): Promise<KeptProcess> {
  const { command, args, folder, endSignal, env, uid, gid } = options
  const shell = spawn('/bin/sh', ['-c', script, 'keeper', folder, endSignal, command, ...args], {
    cwd: '/',
    env: { ...process.env, ...env },
    stdio: ['pipe', 'pipe', 'ignore'],
    detached: true,
    ...(uid === undefined ? {} : { uid }),
    ...(gid === undefined ? {} : { gid }),
  })
  // Pipes of child processes are sockets.
  const stdin = shell.stdin as Socket
  const stdout = shell.stdout as Socket
  let said = ''
  let ended: unknown
  shell.once('error', (error) => {
    ended = error
  })
  shell.once('close', () => {
    ended ??= new Error('the keeping shell ended')
  })
  // The shell ended before it could be told anything; `ended` says so.
  stdin.on('error', () => {})
  stdout.on('data', (chunk: Buffer) => {
    said += chunk.toString('latin1')
  })
  const find = (pattern: RegExp): number | undefined => {
    const match = pattern.exec(said)
    return match === null ? undefined : Number(match[1])
  }
  const pid = await until(`a start of ${command}`, () => {
    if (ended !== undefined) {
      throw new WaybillError('WB_STORE_FAILED', `${command} could not be started.`, { cause: ended })
    }
    return find(/^pid (\d+)\n/mu)
  })
  // A server nobody stopped must not hold this process: it may end, and the pipe then ends the server.
  shell.unref()
  stdin.unref()
  stdout.unref()
  const exitCode = (): number | undefined =>
    find(/^exit (\d+)\n/mu) ?? (ended === undefined ? undefined : 255)
  return {
    pid,
    exitCode,
    waitForExit: (timeoutMs = 30_000) => until(`the end of process ${pid}`, exitCode, { timeoutMs }),
    release: () => {
      stdin.end('done\n')
    },
  }
}
