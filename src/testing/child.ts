import { spawn, type ChildProcess } from 'node:child_process'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { withDeadline } from '../kernel/deadline.ts'
import { WaybillError } from '../kernel/errors.ts'
import { guardGroup, prepareGuard, releaseGroup } from './guard.ts'
import { signal } from './process-tree.ts'
import { Waiters } from './waiters.ts'

export interface SpawnChildOptions {
  /** A file for Node: `.js`, or `.ts` by type stripping. Either this or `command`. */
  readonly script?: string
  readonly command?: string
  readonly args?: readonly string[]
  /** Added to this process's environment. */
  readonly env?: Readonly<Record<string, string | undefined>>
  /** @default this process's folder */
  readonly cwd?: string
  /** Arms crash points in a script, e.g. `relay.after-send=kill@3;consumer.before-commit=stop`. */
  readonly failpoints?: string
  /** Opens a channel for `process.send`. @default false */
  readonly ipc?: boolean
  readonly onLine?: (line: string, stream: 'stdout' | 'stderr') => void
}

export interface ChildExit {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

/** A process that ends with this one, and that a test can kill, stop and listen to. */
export interface Child extends AsyncDisposable {
  readonly pid: number
  readonly exited: Promise<ChildExit>
  /** Everything it wrote so far, both streams, line by line. */
  readonly lines: readonly string[]
  /** SIGKILL of its process group; resolves when it is gone. */
  kill(): Promise<ChildExit>
  /** SIGTERM; resolves when it is gone. */
  terminate(): Promise<ChildExit>
  /** SIGSTOP of its process group. */
  pause(): void
  /** SIGCONT of its process group. */
  resume(): void
  /** The first line, of those written before too, that the predicate accepts. Rejects when it exits without one. */
  waitForLine(accepts: (line: string) => boolean, timeoutMs?: number): Promise<string>
  /** The first message, of those received before too, that the predicate accepts. */
  waitForMessage<T = unknown>(accepts: (message: T) => boolean, timeoutMs?: number): Promise<T>
  send(message: unknown): void
}

// The preload stands beside this file, as source or as built.
const preload = new URL(`./child-preload${import.meta.url.endsWith('.ts') ? '.ts' : '.js'}`, import.meta.url)
  .href

/** Where Node itself would put it: the same modules are started again and again. */
const compileCache = process.env['NODE_COMPILE_CACHE'] ?? join(tmpdir(), 'node-compile-cache')

/** Starts a process in a group of its own, so that Ctrl-C reaches it only through its parent. */
export function spawnChild(options: SpawnChildOptions): Child {
  const { script, command, args = [], failpoints } = options
  if ((script === undefined) === (command === undefined)) {
    throw new WaybillError('WB_INVALID_OPTION', 'spawnChild takes either `script` or `command`.')
  }
  if (failpoints !== undefined && script === undefined) {
    throw new WaybillError(
      'WB_INVALID_OPTION',
      '`failpoints` needs a `script`: they are armed by a Node preload.',
    )
  }
  const start = script === undefined ? [] : ['--import', preload, script]
  const cache = script === undefined ? {} : { NODE_COMPILE_CACHE: compileCache }
  prepareGuard()
  const child = spawn(command ?? process.execPath, [...start, ...args], {
    cwd: options.cwd ?? process.cwd(),
    env: { ...process.env, ...cache, ...options.env, WAYBILL_FAILPOINTS: failpoints },
    stdio: ['ignore', 'pipe', 'pipe', ...(options.ipc === true ? (['ipc'] as const) : [])],
    detached: true,
  })
  const { pid } = child
  if (pid === undefined) {
    // The reason comes as an event; without a listener it would end this process.
    child.once('error', () => {})
    throw new WaybillError('WB_NOT_RUNNING', `${command ?? process.execPath} could not be started.`)
  }
  guardGroup(pid)
  return control(child, pid, options.onLine)
}

function control(child: ChildProcess, pid: number, onLine: SpawnChildOptions['onLine']): Child {
  const lines = new Waiters<string>()
  const messages = new Waiters<unknown>()
  const { promise: exited, resolve } = Promise.withResolvers<ChildExit>()
  let isOver = false
  for (const stream of ['stdout', 'stderr'] as const) {
    createInterface({ input: child[stream]! }).on('line', (line) => {
      lines.add(line)
      onLine?.(line, stream)
    })
  }
  child.on('message', (message) => {
    messages.add(message)
  })
  child.once('exit', () => {
    isOver = true
    // What it left behind in its group would live on unguarded, and hold its pipes open.
    signal(-pid, 'SIGKILL')
    releaseGroup(pid)
  })
  // `close` comes after the last line was read, so nothing it said is missed.
  child.once('close', (code, signalName) => {
    const how = signalName ?? `code ${code}`
    const tail = lines.seen.slice(-30).join('\n')
    const reason = new WaybillError(
      'WB_NOT_RUNNING',
      `Process ${pid} ended (${how}). Its last lines:\n${tail}`,
    )
    lines.close(reason)
    messages.close(reason)
    resolve({ code, signal: signalName })
  })
  child.on('error', () => {})

  const sendGroup = (name: NodeJS.Signals): void => {
    if (!isOver) signal(-pid, name)
  }
  const kill = (): Promise<ChildExit> => {
    sendGroup('SIGKILL')
    return exited
  }
  return {
    pid,
    exited,
    lines: lines.seen,
    kill,
    terminate: () => {
      if (!isOver) signal(pid, 'SIGTERM')
      return exited
    },
    pause: () => {
      sendGroup('SIGSTOP')
    },
    resume: () => {
      sendGroup('SIGCONT')
    },
    waitForLine: (accepts, timeoutMs = 60_000) =>
      withDeadline(lines.first(accepts), timeoutMs, `Process ${pid} (a line)`),
    waitForMessage: <T>(accepts: (message: T) => boolean, timeoutMs = 60_000) =>
      withDeadline(
        messages.first((one) => accepts(one as T)) as Promise<T>,
        timeoutMs,
        `Process ${pid} (a message)`,
      ),
    send: (message) => {
      if (!child.connected)
        throw new WaybillError('WB_NOT_RUNNING', `Process ${pid} has no channel for messages.`)
      child.send(message as object)
    },
    [Symbol.asyncDispose]: async () => {
      await kill()
    },
  }
}
