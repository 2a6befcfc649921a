import { propagation, ROOT_CONTEXT, type Context } from '@opentelemetry/api'

/** The name under which tracer and meter are asked for. */
export const instrumentation = 'waybill'

/**
 * Attributes of the OpenTelemetry conventions for messaging. Copied, as the conventions ask libraries to: those that are not
 * stable yet have no place in a stable package.
 */
export const attributes = {
  system: 'messaging.system',
  destination: 'messaging.destination.name',
  operationName: 'messaging.operation.name',
  operationType: 'messaging.operation.type',
  messageId: 'messaging.message.id',
  batchCount: 'messaging.batch.message_count',
  errorType: 'error.type',
  /** Not of the conventions: 1 for the first run of a handler. */
  attempt: 'waybill.attempt',
} as const

/** Of a message's headers, whatever the registered propagator writes there: trace and baggage. */
export function contextOf(headers: Readonly<Record<string, string>>): Context {
  return propagation.extract(ROOT_CONTEXT, headers, {
    // Headers have no prototype, so a name is there only if it was sent (S11).
    get: (carrier, name) => carrier[name],
    keys: (carrier) => Object.keys(carrier),
  })
}
