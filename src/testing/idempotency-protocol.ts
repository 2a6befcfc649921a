import type { MessageHeaders } from '../kernel/message.ts'

/** A message to be handled; `payload` is what the channel's schema made of it. */
export interface CheckMessage {
  readonly id: string
  readonly channel: string
  readonly key: string | null
  readonly payload: unknown
  readonly headers: MessageHeaders
  /** ISO 8601. */
  readonly createdAt: string
}

/** What a child process needs to be like the service. */
export interface Setup {
  /** As given with --config. */
  readonly config: string | undefined
  /** Path of the module that registers handlers. */
  readonly handlers: string
  readonly flags: Readonly<Record<string, unknown>>
  readonly schema: string
  readonly consumer: string
  readonly message: CheckMessage
}

export type ChildTask =
  | { readonly type: 'run'; readonly number: number }
  /** It may commit. */
  | { readonly type: 'go'; readonly number: number }

export interface AttemptFailure {
  readonly code: string
  readonly message: string
  /** Of an error of PostgreSQL. It may hold values of rows: only that of the guard is ever shown. */
  readonly detail: string
}

export type ChildNote =
  | { readonly type: 'up' }
  | { readonly type: 'ready' }
  | { readonly type: 'begun'; readonly number: number; readonly pid: number }
  /** The handler has ended; it waits for `go`, or for its end. */
  | { readonly type: 'asks'; readonly number: number }
  | { readonly type: 'ended'; readonly number: number; readonly error: AttemptFailure | null }
