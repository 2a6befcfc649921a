import {
  context,
  createTraceState,
  SpanKind,
  SpanStatusCode,
  trace,
  type Attributes,
  type Context,
  type Link,
  type Span,
} from '@opentelemetry/api'
import { describeError } from '../kernel/errors.ts'
import type { Message } from '../kernel/message.ts'
import { errorType } from './error-type.ts'
import { attributes, contextOf, instrumentation } from './otel-names.ts'

/** A call of `publish` or `send`, as far as it is traced. */
interface TracedPublication {
  readonly method: 'publish' | 'send'
  readonly channel: string
  readonly payload: unknown
}

interface TracedRun {
  readonly attempt: number
}

/** What `waybill.use()` takes. */
export interface OtelTracing {
  readonly publish: <Publication extends TracedPublication, Published>(
    publication: Publication,
    next: () => Promise<Published>,
  ) => Promise<Published>
  readonly consume: (message: Message, run: TracedRun, next: () => Promise<void>) => Promise<void>
  readonly consumeBatch: (
    messages: readonly Message[],
    run: TracedRun,
    next: () => Promise<void>,
  ) => Promise<void>
}

/** In the W3C `tracestate`: the message was sent alone and at once, so its handler is a part of the same work. */
const stateName = 'waybill'
const sentAlone = 'alone'

/** Links of one span, at most: what the SDKs keep by default. */
const mostLinks = 128

/**
 * Traces by the OpenTelemetry API: `waybill.use(otelTracing())`. A span for each `publish` and `send`, whose context goes with the message
 * (W9), and one for each run of a handler, in which the handler runs: linked to the spans its messages come from; a child only where the
 * message was sent alone by `send()`, because a batch has many parents (M4). Baggage of a single message is there too. Without
 * an SDK it does nothing. No span holds a payload, a key or a header.
 */
export function otelTracing(): OtelTracing {
  return {
    publish: ({ method, channel, payload }, next) => {
      const isSend = method === 'send'
      const span = start(`${method} ${channel}`, SpanKind.PRODUCER, context.active(), [], {
        [attributes.system]: 'waybill',
        [attributes.destination]: channel,
        [attributes.operationName]: method,
        [attributes.operationType]: isSend ? 'send' : 'create',
      })
      const told = async (): Promise<Awaited<ReturnType<typeof next>>> => {
        const published = await next()
        if (typeof published === 'string') span.setAttribute(attributes.messageId, published)
        else if (Array.isArray(published)) span.setAttribute(attributes.batchCount, published.length)
        return published
      }
      return ended(span, () => context.with(carrying(span, isSend && !isMany(payload)), told))
    },
    consume: (message, { attempt }, next) => {
      const origin = contextOf(message.headers)
      const source = trace.getSpanContext(origin)
      const isChild = source?.traceState?.get(stateName) === sentAlone
      // Not the active context: that is of whoever called `start()`.
      const parent = isChild ? origin : trace.deleteSpan(origin)
      const links = source === undefined || isChild ? [] : [{ context: source }]
      const span = start(`process ${message.channel}`, SpanKind.CONSUMER, parent, links, {
        ...processing(message.channel, attempt),
        [attributes.messageId]: message.id,
      })
      return ended(span, () => context.with(trace.setSpan(parent, span), next))
    },
    consumeBatch: (messages, { attempt }, next) => {
      const channel = messages[0]!.channel
      const links: Link[] = messages.slice(0, mostLinks).flatMap(({ headers }) => {
        const source = trace.getSpanContext(contextOf(headers))
        return source === undefined ? [] : [{ context: source }]
      })
      const parent = contextOf({})
      const span = start(`process ${channel}`, SpanKind.CONSUMER, parent, links, {
        ...processing(channel, attempt),
        [attributes.batchCount]: messages.length,
      })
      return ended(span, () => context.with(trace.setSpan(parent, span), next))
    },
  }
}

/** What `many(…)` made: its mark is known across copies of the package. */
function isMany(payload: unknown): boolean {
  return typeof payload === 'object' && payload !== null && Symbol.for('waybill.many') in payload
}

function processing(channel: string, attempt: number): Attributes {
  return {
    [attributes.system]: 'waybill',
    [attributes.destination]: channel,
    [attributes.operationName]: 'process',
    [attributes.operationType]: 'process',
    [attributes.attempt]: attempt,
  }
}

function start(name: string, kind: SpanKind, parent: Context, links: Link[], own: Attributes): Span {
  return trace.getTracer(instrumentation).startSpan(name, { kind, links, attributes: own }, parent)
}

/**
 * The context that is written into the message. The mark stands in its `tracestate` alone; it is taken away from what is published in
 * a handler, which has inherited it.
 */
function carrying(span: Span, isSentAlone: boolean): Context {
  const own = span.spanContext()
  const state = own.traceState ?? createTraceState()
  const isMarked = state.get(stateName) !== undefined
  if (!isSentAlone && !isMarked) return trace.setSpan(context.active(), span)
  const traceState = isSentAlone ? state.set(stateName, sentAlone) : state.unset(stateName)
  return trace.setSpan(context.active(), trace.wrapSpanContext({ ...own, traceState }))
}

async function ended<T>(span: Span, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    // By its code: a handler's own message may hold anything (S16).
    const { code } = describeError(error)
    span.setAttribute(attributes.errorType, errorType(code))
    span.setStatus({ code: SpanStatusCode.ERROR })
    throw error
  } finally {
    span.end()
  }
}
