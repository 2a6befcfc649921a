import type { Guarantee } from '../../index.ts'

/** A channel of the user's and one of its consumers. */
export interface ServicePair {
  /** Of the track: `orders.placed/shipping`, which is no name of anything else. */
  readonly name: string
  readonly channel: string
  /** As the user's files have it. */
  readonly consumer: string
  readonly guarantee: Guarantee
  readonly isOrdered: boolean
}

/**
 * What processes are told of the user's service. Nothing of what his configuration holds: each loads it for itself, so that no password
 * is in an environment.
 */
export interface ServiceSettings {
  /** As given with --config. */
  readonly config: string | undefined
  readonly flags: Readonly<Record<string, unknown>>
  /** Path of the module that registers handlers; `null`: handlers of the run's own. */
  readonly handlers: string | null
  /** Path of a file of examples; `null`: payloads are made up. */
  readonly messages: string | null
  readonly pairs: readonly ServicePair[]
}
