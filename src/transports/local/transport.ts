import type { TransportCapabilities } from '../../kernel/capabilities.ts'
import { WaybillError } from '../../kernel/errors.ts'
import { didYouMean } from '../../kernel/suggest.ts'
import type { TransportDefinition } from '../../ports/transport.ts'

export interface LocalTransportOptions {
  /** Largest payload with headers, in bytes. @default 1048576 */
  readonly maxBytes?: number
}

const names = ['maxBytes'] as const

/**
 * Hands messages to consumers of the same database, without a broker. It moves nothing itself: the relay of each consumer
 * reads the outbox and runs the handlers.
 */
export function localTransport(options: LocalTransportOptions = {}): TransportDefinition {
  const refuse = (sentence: string): never => {
    throw new WaybillError('WB_INVALID_OPTION', `localTransport: ${sentence}`)
  }
  if (typeof options !== 'object' || options === null) refuse('takes an object.')
  for (const name of Object.keys(options)) {
    if (!names.some((known) => known === name)) refuse(`unknown option "${name}".${didYouMean(name, names)}`)
  }
  const maxBytes = options.maxBytes ?? 1_048_576
  if (!Number.isSafeInteger(maxBytes) || maxBytes < 1) refuse('`maxBytes` must be a whole number from 1.')
  const kind = 'local'
  const capabilities: TransportCapabilities = {
    ordersBatch: true,
    isLocal: true,
    maxBytes,
    confirms: true,
    dispatches: true,
    fences: false,
    transforms: false,
    keepsOrder: true,
    settles: true,
    seeks: false,
    // A row is there until its consumers have it, and is never handed over again after that.
    redeliveryMs: 0,
    deduplicatesMs: null,
    transactionTimeoutMs: null,
    producerExpiryMs: null,
  }
  return { kind, capabilities, open: () => ({ kind, capabilities, close: () => Promise.resolve() }) }
}
