import type { FailpointName } from '../../src/kernel/failpoint.ts'

/** Where something is shown. */
export type Shown =
  /** By a fault of `waybill prove`, under the name it has there. */
  | { readonly by: 'prove'; readonly fault: string }
  /** By a process that test/crash kills at this step, for each guarantee that passes it. */
  | { readonly by: 'crash'; readonly point: FailpointName }
  /** By a test: its file, and what its name holds. */
  | { readonly by: 'test'; readonly file: string; readonly name: string }

/** A row of the matrix of faults. */
export interface Coverage {
  readonly id: string
  readonly fault: string
  /** Empty where it waits as a whole for an adapter, or lies outside. */
  readonly shown: readonly Shown[]
  /** Why no test can show it: it is outside of every promise, and the documentation says so. */
  readonly outside?: string
}

export const prove = (...faults: readonly string[]): readonly Shown[] =>
  faults.map((fault) => ({ by: 'prove', fault }))
export const crash = (...points: readonly FailpointName[]): readonly Shown[] =>
  points.map((point) => ({ by: 'crash', point }))
export const test = (file: string, name: string): Shown => ({ by: 'test', file, name })
