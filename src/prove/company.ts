import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { WaybillError } from '../index.ts'
import { type HistoryEvent, readHistory, RevivedProcess, type RevivedState } from '../testing.ts'
import { saysReady } from '../demo/children/child.ts'
import { ownedFolder } from '../testing/owned-folder.ts'
import { leftSentence } from './service/left-copies.ts'
import { childEnvironment, type ProveSettings } from './settings.ts'

export type Role = 'writer' | 'relay' | 'consumer'

/** What a process has to end what is under way. */
const stopDeadlineMs = 10_000

export interface Cast {
  readonly role: Role
  readonly name: string
  /** Beyond what all of them are told: other ways to the servers. */
  readonly settings?: Partial<ProveSettings>
  readonly env?: Readonly<Record<string, string>>
}

/** All processes of a run, and what they noted. */
export class Company implements AsyncDisposable {
  readonly #processes: readonly RevivedProcess[]
  readonly #writers: readonly RevivedProcess[]
  readonly #folder = ownedFolder('waybill-prove-')
  readonly #files: readonly string[]

  constructor(
    settings: ProveSettings,
    seed: number,
    cast: readonly Cast[],
    onBroken: (error: WaybillError) => void,
  ) {
    this.#files = cast.map(({ name }) => join(this.#folder.path, `${name}.ndjson`))
    const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js'
    this.#processes = cast.map(
      ({ role, name, settings: own, env }, i) =>
        new RevivedProcess({
          name,
          spawn: (n) => ({
            script: fileURLToPath(new URL(`./children/${role}.${extension}`, import.meta.url)),
            env: {
              ...childEnvironment({
                ...settings,
                ...own,
                name,
                seed: seed + 1000 * i + n,
                history: this.#files[i]!,
              }),
              ...env,
            },
            ipc: true,
            onLine: (line) => {
              const left = leftSentence(line)
              if (left !== undefined) onBroken(new WaybillError('WB_PROOF_FAILED', left))
            },
          }),
          isReady: saysReady,
          onBroken: (how, said) => {
            const tail = said.join('\n')
            onBroken(
              new WaybillError(
                'WB_PROOF_FAILED',
                `The process ${name} of the proof ends by itself (${how}). What it said last:\n${tail}`,
              ),
            )
          },
        }),
    )
    this.#writers = this.#processes.filter((_, i) => cast[i]!.role === 'writer')
  }

  process(name: string): RevivedProcess {
    return this.#processes.find((one) => one.name === name)!
  }

  get states(): readonly RevivedState[] {
    return this.#processes.map((one) => one.state)
  }

  /** What each has said, in all its lives. */
  get said(): Readonly<Record<string, readonly string[]>> {
    return Object.fromEntries(this.#processes.map((one) => [one.name, one.said]))
  }

  /** How each has ended by itself while it was at work. */
  get exits(): Readonly<Record<string, readonly string[]>> {
    return Object.fromEntries(this.#processes.map((one) => [one.name, one.exits]))
  }

  /** Writers last, when the others are `settled`: their first message finds somebody who handles it. */
  async start(settled: () => Promise<void>): Promise<void> {
    await Promise.all(this.#processes.filter((one) => !this.#writers.includes(one)).map((one) => one.start()))
    await settled()
    await Promise.all(this.#writers.map((one) => one.start()))
  }

  /** Resolves when the last transaction under way has ended. */
  async stopWriting(): Promise<void> {
    await Promise.all(this.#writers.map((one) => one.stop(stopDeadlineMs)))
  }

  async stop(): Promise<void> {
    await Promise.all(this.#processes.map((one) => one.stop(stopDeadlineMs)))
  }

  /** SIGKILL for all of them, for good. */
  async end(): Promise<void> {
    await Promise.all(this.#processes.map((one) => one.end()))
  }

  history(): readonly HistoryEvent[] {
    return readHistory(this.#files)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.end()
    this.#folder[Symbol.dispose]()
  }
}
