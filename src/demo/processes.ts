import { fileURLToPath } from 'node:url'
import { WaybillError } from '../index.ts'
import { RevivedProcess, type RevivedState } from '../testing.ts'
import { type ChildReport, saysReady } from './children/child.ts'
import { childEnvironment, type DemoSettings } from './settings.ts'

export type Role = 'shop' | 'relay' | 'shipping'

export interface ProcessState extends RevivedState {
  /** What else runs in it. */
  readonly note: string
}

export interface ProcessOptions {
  readonly role: Role
  readonly name: string
  readonly settings: DemoSettings
  readonly seed: number
  readonly onSuppressed: (count: number) => void
  /** It keeps ending by itself; with what it said last. */
  readonly onBroken: (error: WaybillError) => void
}

/** A process of the demo, which is started again as soon as it has ended. */
export function demoProcess(options: ProcessOptions): RevivedProcess {
  const { role, name, settings, seed, onSuppressed, onBroken } = options
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js'
  return new RevivedProcess({
    name,
    spawn: (n) => ({
      script: fileURLToPath(new URL(`./children/${role}.${extension}`, import.meta.url)),
      env: childEnvironment({ ...settings, name, seed: seed + n }),
      ipc: true,
      onLine: (line, stream) => {
        const said = stream === 'stdout' ? parseReport(line) : null
        if (said?.duplicatesSuppressed !== undefined) onSuppressed(said.duplicatesSuppressed)
      },
    }),
    isReady: saysReady,
    onBroken: (how, said) => {
      const tail = said.filter((line) => parseReport(line) === null).join('\n')
      onBroken(
        new WaybillError(
          'WB_DEMO_FAILED',
          `The process ${name} of the demo ends by itself (${how}). What it said last:\n${tail}`,
        ),
      )
    },
  })
}

function parseReport(line: string): ChildReport | null {
  if (!line.startsWith('{"isReady"') && !line.startsWith('{"duplicatesSuppressed"')) return null
  return JSON.parse(line) as ChildReport
}
