import { WaybillError } from '../kernel/errors.ts'
import { type Child, type ChildExit, spawnChild, type SpawnChildOptions } from './child.ts'

export interface RevivedState {
  readonly name: string
  readonly pid: number | null
  readonly state: 'starting' | 'running' | 'ended'
  /** Times it ended by SIGKILL. */
  readonly kills: number
}

export interface RevivedProcessOptions {
  readonly name: string
  /** How it is started for the n-th time, from 0. */
  readonly spawn: (n: number) => SpawnChildOptions
  /** Whether this line says that it is at work. */
  readonly isReady: (line: string) => boolean
  /** It keeps ending by itself. `how`: a signal or an exit code; `said`: its last lines. */
  readonly onBroken: (how: string, said: readonly string[]) => void
}

/** Far longer than any deadline of its own for ending what is under way. */
const shutDownMs = 20_000

/** A child that ends by itself is started again too, but not for ever: something is wrong with it then. */
const crashLimit = 5

/** A child process that is started again as soon as it has ended, however it ended. */
export class RevivedProcess {
  readonly #options: RevivedProcessOptions
  #child: Child | null = null
  #isReady = false
  #isStopping = false
  #isAsked = false
  #starts = 0
  #kills = 0
  #crashes = 0
  readonly #exits: string[] = []
  readonly #said: string[] = []
  #ready = Promise.withResolvers<void>()

  constructor(options: RevivedProcessOptions) {
    this.#options = options
  }

  get name(): string {
    return this.#options.name
  }

  /** Times it ended by SIGKILL. */
  get kills(): number {
    return this.#kills
  }

  get state(): RevivedState {
    const state = this.#isReady ? 'running' : this.#isStopping ? 'ended' : 'starting'
    return { name: this.name, pid: this.#child?.pid ?? null, state, kills: this.#kills }
  }

  /** How it ended by itself while it was at work, or other than it was asked to, each time: a signal or an exit code. */
  get exits(): readonly string[] {
    return this.#exits
  }

  /** Everything its lives have said. */
  get said(): readonly string[] {
    return [...this.#said, ...(this.#child?.lines ?? [])]
  }

  /** Resolves when it is at work. Rejects with the end of what it said where it ended before that, or may not start any more. */
  async start(): Promise<void> {
    if (this.#isStopping)
      throw new WaybillError('WB_ABORTED', `The process ${this.name} was ended before its start.`)
    await this.#spawn().waitForLine(this.#options.isReady)
  }

  /** SIGKILL; the next one runs by the time this resolves. */
  async kill(): Promise<void> {
    await this.#child?.kill()
  }

  /**
   * SIGTERM; resolves when it is gone, and the next one is started. Within twenty seconds, or it is killed, which is told as an exit of
   * its own.
   */
  async shutDown(): Promise<void> {
    const child = this.#child
    if (child === null) return
    this.#isAsked = true
    await terminated(child, shutDownMs, () => {
      this.#exits.push(`it had not ended ${shutDownMs / 1000} s after SIGTERM`)
    })
  }

  /**
   * Resolves when it is at work, perhaps as another process than now. Rejects with `WB_NOT_RUNNING` where it is not started again: it
   * was ended for good, or keeps ending by itself.
   */
  async restart(): Promise<void> {
    await this.#ready.promise
  }

  /** SIGSTOP. */
  pause(): void {
    this.#child?.pause()
  }

  /** SIGCONT. */
  resume(): void {
    this.#child?.resume()
  }

  /** Asks it to end what is under way and then itself; SIGKILL where it has not by the deadline. Not started again. */
  async stop(deadlineMs: number): Promise<void> {
    this.#endForGood()
    if (this.#child !== null) await terminated(this.#child, deadlineMs)
  }

  /** SIGKILL, for good, and not counted. */
  async end(): Promise<void> {
    this.#endForGood()
    await this.#child?.kill()
  }

  #endForGood(): void {
    this.#isStopping = true
    this.#waitNoMore()
  }

  /** Whoever waits for its next life would wait for ever. */
  #waitNoMore(): void {
    const { promise, reject } = this.#ready
    // Mostly nobody does.
    promise.catch(() => {})
    reject(new WaybillError('WB_NOT_RUNNING', `The process ${this.name} is not started again.`))
  }

  #spawn(): Child {
    const { spawn, isReady } = this.#options
    const options = spawn(this.#starts++)
    this.#isReady = false
    const child = spawnChild({
      ...options,
      onLine: (line, stream) => {
        if (!this.#isReady && isReady(line)) {
          this.#isReady = true
          this.#ready.resolve()
        }
        options.onLine?.(line, stream)
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
    const isInOrder = this.#isAsked && (exit.code === 0 || exit.signal === 'SIGTERM')
    this.#isAsked = false
    for (const line of child.lines) this.#said.push(line)
    this.#child = null
    this.#isReady = false
    // Whoever waits already for one that ended before it was at work waits for the next.
    if (wasReady) this.#ready = Promise.withResolvers<void>()
    if (this.#isStopping) {
      this.#waitNoMore()
      return
    }
    if (exit.signal === 'SIGKILL') this.#kills += 1
    else if (!isInOrder) {
      const how = exit.signal ?? `exit code ${exit.code}`
      this.#crashes += 1
      if (wasReady) this.#exits.push(how)
      const isFirst = this.#starts === 1 && !wasReady
      if (isFirst || this.#crashes >= crashLimit) {
        this.#waitNoMore()
        this.#options.onBroken(how, child.lines.slice(-15))
        return
      }
    }
    this.#spawn()
  }
}

/** SIGTERM, and SIGKILL where it has not ended by the deadline; resolves when it is gone. */
async function terminated(child: Child, deadlineMs: number, onLate?: () => void): Promise<void> {
  const late = setTimeout(() => {
    onLate?.()
    void child.kill()
  }, deadlineMs)
  await child.terminate()
  clearTimeout(late)
}
