/** What `@opentelemetry/api` 1.x registers: the context manager and the propagator themselves, not its facades. */
interface RegisteredApi {
  readonly context?: { active(): unknown }
  readonly propagation?: {
    inject(
      context: unknown,
      carrier: object,
      setter: { set(carrier: object, name: string, value: string): void },
    ): void
  }
}

const slot: unique symbol = Symbol.for('opentelemetry.js.api.1') as never

/**
 * The trace context that is active now (W3C traceparent, tracestate, baggage, or what the registered propagator writes),
 * taken at publish and never at delivery (W9). Nothing where OpenTelemetry is not set up. Tracing may not break a
 * publish: what throws or cannot be carried is left out.
 */
export function captureTraceContext(): readonly (readonly [string, string])[] {
  const api = (globalThis as { [slot]?: RegisteredApi })[slot]
  if (api?.context === undefined || api.propagation === undefined) return []
  const captured: [string, string][] = []
  try {
    api.propagation.inject(
      api.context.active(),
      {},
      {
        set: (_carrier, name, value) => {
          if (isCarriable(name) && isCarriable(value)) captured.push([name, value])
        },
      },
    )
  } catch {
    return []
  }
  return captured
}

function isCarriable(text: unknown): boolean {
  return typeof text === 'string' && text.isWellFormed() && !text.includes('\0')
}
