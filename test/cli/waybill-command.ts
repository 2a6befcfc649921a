import { spawn, type ChildProcess } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const bin = fileURLToPath(new URL('../../bin/waybill.js', import.meta.url))

export interface CommandOptions {
  readonly env?: Readonly<Record<string, string | undefined>>
  readonly cwd?: string
}

export interface CommandResult {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

export interface RunningCommand {
  readonly process: ChildProcess
  readonly ended: Promise<CommandResult>
  /** Resolves when stderr holds the text. */
  sees(text: string): Promise<void>
}

/** Starts the command line as a user does, with both streams piped. */
export function startWaybill(args: readonly string[], options: CommandOptions = {}): RunningCommand {
  const child = spawn(process.execPath, [bin, ...args], {
    cwd: options.cwd,
    env: { ...process.env, ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let stdout = ''
  let stderr = ''
  child.stdout.on('data', (chunk: Buffer) => {
    stdout += chunk.toString()
  })
  child.stderr.on('data', (chunk: Buffer) => {
    stderr += chunk.toString()
  })
  const ended = new Promise<CommandResult>((resolve) => {
    child.once('close', (code) => {
      resolve({ code, stdout, stderr })
    })
  })
  const sees = (text: string): Promise<void> =>
    new Promise((resolve, reject) => {
      const look = (): void => {
        if (stderr.includes(text)) resolve()
      }
      child.stderr.on('data', look)
      child.once('close', () => {
        reject(new Error(`It ended without "${text}":\n${stderr}`))
      })
      look()
    })
  return { process: child, ended, sees }
}

export function runWaybill(args: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
  return startWaybill(args, options).ended
}
