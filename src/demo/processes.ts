import { fileURLToPath } from 'node:url'
import { WaybillError } from '../index.ts'
import { spawnChild, type Child, type ChildExit } from '../testing.ts'
import type { ChildReport } from './children/child.ts'
import { childEnvironment, type DemoSettings } from './settings.ts'

export type Role = 'shop' | 'relay' | 'shipping'

export interface ProcessState {
  readonly name: string
  /** What else runs in it. */
  readonly note: string
  readonly pid: number | null
  readonly state: 'starting' | 'running' | 'ended'
  /** Times it ended by SIGKILL. */
  readonly kills: number
}

export interface ProcessOptions {
  readonly role: Role
  readonly name: string
  readonly note: string
  readonly settings: DemoSettings
  readonly seed: number
  readonly onSuppressed: (count: number) => void
  /** It keeps ending by itself; with what it said last. */
  readonly onBroken: (error: WaybillError) => void
}

/** A child that ends by itself is started again too, but not for ever: something is wrong with it then. */
const crashLimit = 5

/** A child process that is started again as soon as it has ended, however it ended. */
export class DemoProcess {
  readonly #options: ProcessOptions
  #child: Child | null = null
  #isReady = false
  #isStopping = false
  #starts = 0
  #kills = 0
  #crashes = 0

  constructor(options: ProcessOptions) {
    this.#options = options
  }

  get name(): string {
    return this.#options.name
  }

  /** Times it ended by SIGKILL. */
  get kills(): number {
    return this.#kills
  }

  state(): ProcessState {
    const { name, note } = this.#options
    const state = this.#isReady ? 'running' : this.#isStopping ? 'ended' : 'starting'
    return { name, note, pid: this.#child?.pid ?? null, state, kills: this.#kills }
  }

  /** Resolves when it is at work. Rejects with the end of what it said where it ended before that, or may not start any more. */
  async start(): Promise<void> {
    if (this.#isStopping)
      throw new WaybillError('WB_ABORTED', `The process ${this.name} was ended before its start.`)
    await this.#spawn().waitForLine((line) => parseReport(line)?.isReady === true)
  }

  /** SIGKILL; the next one runs by the time this resolves. */
  async kill(): Promise<void> {
    await this.#child?.kill()
  }

  /** Asks it to end what is under way and then itself; SIGKILL where it has not by the deadline. Not started again. */
  async stop(deadlineMs: number): Promise<void> {
    this.#isStopping = true
    const child = this.#child
    if (child === null) return
    const late = setTimeout(() => void child.kill(), deadlineMs)
    await child.terminate()
    clearTimeout(late)
  }

  /** SIGKILL, for good, and not counted. */
  async end(): Promise<void> {
    this.#isStopping = true
    await this.#child?.kill()
  }

  #spawn(): Child {
    const { role, name, settings, seed, onSuppressed } = this.#options
    const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js'
    this.#isReady = false
    const child = spawnChild({
      script: fileURLToPath(new URL(`./children/${role}.${extension}`, import.meta.url)),
      env: childEnvironment({ ...settings, name, seed: seed + this.#starts++ }),
      ipc: true,
      onLine: (line, stream) => {
        const said = stream === 'stdout' ? parseReport(line) : null
        if (said?.isReady === true) this.#isReady = true
        if (said?.duplicatesSuppressed !== undefined) onSuppressed(said.duplicatesSuppressed)
      },
    })
    this.#child = child
    void child.exited.then((exit) => {
      this.#ended(child, exit)
    })
    return child
  }

  #ended(child: Child, exit: ChildExit): void {
    const wasReady = this.#isReady
    this.#child = null
    this.#isReady = false
    if (this.#isStopping) return
    if (exit.signal === 'SIGKILL') this.#kills += 1
    else {
      this.#crashes += 1
      const isFirst = this.#starts === 1 && !wasReady
      if (isFirst || this.#crashes >= crashLimit) {
        this.#options.onBroken(brokenError(this.name, child, exit))
        return
      }
    }
    this.#spawn()
  }
}

function brokenError(name: string, child: Child, exit: ChildExit): WaybillError {
  const how = exit.signal ?? `exit code ${exit.code}`
  const tail = child.lines.filter((line) => parseReport(line) === null).slice(-15)
  return new WaybillError(
    'WB_DEMO_FAILED',
    `The process ${name} of the demo ends by itself (${how}). What it said last:\n${tail.join('\n')}`,
  )
}

function parseReport(line: string): ChildReport | null {
  if (!line.startsWith('{"isReady"') && !line.startsWith('{"duplicatesSuppressed"')) return null
  return JSON.parse(line) as ChildReport
}
