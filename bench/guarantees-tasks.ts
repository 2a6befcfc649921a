import type { Guarantee } from '../src/index.ts'
import type { Measured } from './written.ts'

export interface WorkerSettings {
  readonly url: string
  readonly brokers: string[]
}

export type Task =
  | { readonly type: 'send'; readonly guarantee: 'at-most-once' | 'at-least-once'; readonly messages: number }
  | {
      readonly type: 'drain'
      readonly guarantee: 'at-least-once' | 'exactly-once'
      readonly messages: number
    }
  | { readonly type: 'consume'; readonly batchSize: number; readonly messages: number }
  | {
      readonly type: 'whole'
      readonly transport: 'kafka' | 'local'
      readonly guarantee: Guarantee
      readonly messages: number
      /** Messages of the second part, one at a time, of which latency is measured. */
      readonly paced: number
    }

/** What a guarantee costs, on one transport. */
export interface GuaranteeFigures {
  /** From the first transaction to the last effect. */
  readonly perSecond: number
  /** From commit to the end of the handler, one message at a time, in milliseconds. */
  readonly p50Ms: number
  readonly p99Ms: number
  /** Messages on the wire beyond one of each; 0 where there is no wire. */
  readonly copies: number
  /** SQL statements for each message, the business one and the effect included, without BEGIN and COMMIT. */
  readonly statements: number
}

/** docs/guarantees-measured.json. */
export interface GuaranteesMeasured extends Measured {
  readonly payloadBytes: number
  readonly transports: Readonly<Record<'kafka' | 'local', Readonly<Record<Guarantee, GuaranteeFigures>>>>
}
