import { channel } from 'node:diagnostics_channel'

/** Where something happened: a relay's lane. `consumer` is `''` where the relay sends to a broker. */
export interface DiagnosticLane {
  readonly transport: string
  readonly consumer: string
}

/** The trace headers of a message, as they were captured when it was published. */
export type TraceHeaders = Readonly<Record<string, string>>

/**
 * What Waybill tells on `node:diagnostics_channel`, by the channel's name: once for a batch, never once for a message that
 * went well. No event holds a payload, a header or a connection string; an error is told by its code. They are of the
 * process: two instances in it tell on the same channels.
 */
export interface DiagnosticEvents {
  /** Messages were written in a transaction, which may still roll back. */
  'waybill.outbox.published': { readonly channel: string; readonly count: number }
  /** Messages of `send()`: how it ended for them. */
  'waybill.send.ended': {
    readonly channel: string
    readonly outcome: 'dispatched' | 'confirmed' | 'dropped' | 'rejected' | 'unknown'
    readonly count: number
    /** Of the error, where it did not go well. */
    readonly code: string | null
  }
  /** A read of the outbox; `code` is of the error it failed with. */
  'waybill.relay.read': {
    readonly lane: DiagnosticLane
    readonly count: number
    readonly durationMs: number
    readonly code: string | null
  }
  /** A batch was handed to the transport, or to the handlers of a local consumer, and this came of it. */
  'waybill.relay.sent': {
    readonly lane: DiagnosticLane
    readonly channel: string
    /** With an at-most-once channel: those that left. */
    readonly confirmed: number
    readonly rejected: number
    readonly unknown: number
    readonly durationMs: number
    /** Of the first message that was not confirmed. */
    readonly code: string | null
    /** Trace headers of the batch's messages, at most so many. */
    readonly traces: (most: number) => readonly TraceHeaders[]
  }
  /** Messages failed and will be tried again. */
  'waybill.relay.retried': {
    readonly lane: DiagnosticLane
    readonly channel: string
    readonly count: number
    readonly code: string
  }
  /** Messages were given up and keep their keys waiting for an operator. */
  'waybill.relay.blocked': {
    readonly lane: DiagnosticLane
    readonly channel: string
    readonly count: number
    readonly code: string
  }
  /** Messages became dead letters. `reason` is `follower` where they only stand behind one, their key being parked. */
  'waybill.relay.dead': {
    readonly lane: DiagnosticLane
    readonly channel: string
    readonly count: number
    readonly reason: string
    readonly code: string
  }
  /** Messages were lost: at-most-once ones that were taken and certainly or possibly not delivered, and any that had expired. */
  'waybill.relay.lost': {
    readonly lane: DiagnosticLane
    readonly channel: string
    readonly count: number
    readonly cause: string
  }
  /** A destination that fails for everyone is left alone for a while, or is tried again. */
  'waybill.relay.held': {
    readonly lane: DiagnosticLane
    readonly channel: string
    readonly isHeld: boolean
  }
  /** `lost` where another relay has them, or nobody can tell. */
  'waybill.relay.leases': {
    readonly lane: DiagnosticLane
    readonly change: 'gained' | 'released' | 'lost'
    readonly count: number
    /** Partitions held from now on. */
    readonly held: number
  }
  'waybill.consumer.handled': { readonly consumer: string; readonly channel: string; readonly count: number }
  'waybill.consumer.duplicate': {
    readonly consumer: string
    readonly channel: string
    readonly count: number
  }
  'waybill.consumer.failed': { readonly consumer: string; readonly channel: string; readonly code: string }
  'waybill.consumer.dead': { readonly consumer: string; readonly channel: string; readonly code: string }
  'waybill.consumer.lost': { readonly consumer: string; readonly channel: string; readonly cause: string }
  'waybill.consumer.unavailable': { readonly consumer: string; readonly code: string }
  /** Inbox rows past their retention were deleted. */
  'waybill.cleanup.purged': { readonly count: number }
}

export type DiagnosticName = keyof DiagnosticEvents

/** A channel as its publisher has it. */
export interface Diagnostic<Name extends DiagnosticName> {
  /** Looked at before an event is made: where nobody listens, telling costs this one look. */
  readonly hasSubscribers: boolean
  publish(event: DiagnosticEvents[Name]): void
}

export function diagnostic<Name extends DiagnosticName>(name: Name): Diagnostic<Name> {
  return channel(name)
}
