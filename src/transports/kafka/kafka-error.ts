interface ErrorNode {
  readonly code?: unknown
  readonly apiId?: unknown
  readonly canRetry?: unknown
  readonly message?: unknown
  readonly errors?: unknown
  readonly cause?: unknown
  readonly response?: unknown
}

/** An error and all it holds: the library nests what happened in `errors` and `cause`, several levels deep. */
function* nodesOf(error: unknown, depth = 0): Generator<ErrorNode> {
  if (typeof error !== 'object' || error === null || depth > 10) return
  const node: ErrorNode = error
  yield node
  if (Array.isArray(node.errors)) for (const inner of node.errors) yield* nodesOf(inner, depth + 1)
  yield* nodesOf(node.cause, depth + 1)
}

/**
 * The one word for what went wrong: the broker's own name for it (`UNKNOWN_TOPIC_OR_PARTITION`), else the system's
 * (`ECONNREFUSED`), else the library's. Messages are left out: they quote hosts, and callers' texts.
 */
export function kafkaErrorName(error: unknown): string {
  let system: string | undefined
  let library: string | undefined
  for (const { apiId, code } of nodesOf(error)) {
    if (typeof apiId === 'string') return apiId
    if (typeof code !== 'string') continue
    if (code.startsWith('PLT_KFK')) library ??= code
    else system ??= code
  }
  return system ?? library ?? (error instanceof Error ? error.name : 'Error')
}

/** Whether the broker answered with one of these names, anywhere in the tree. */
export function hasKafkaError(error: unknown, ...names: readonly string[]): boolean {
  for (const { apiId } of nodesOf(error)) if (typeof apiId === 'string' && names.includes(apiId)) return true
  return false
}

/** The library reports a missing topic in words only. */
export function isUnknownTopic(error: unknown): boolean {
  for (const { message, apiId } of nodesOf(error)) {
    if (apiId === 'UNKNOWN_TOPIC_OR_PARTITION') return true
    if (typeof message === 'string' && message.startsWith('Unknown topic ')) return true
  }
  return false
}

/** Whether nothing in the tree says that trying again is no use, as after a wrong password. */
export function isRetryable(error: unknown): boolean {
  for (const { canRetry } of nodesOf(error)) if (canRetry === false) return false
  return true
}

/** The broker's answer where the library made an error of it: it may speak of other partitions that are well. */
export function responseIn(error: unknown): unknown {
  for (const { response } of nodesOf(error)) if (response !== undefined && response !== null) return response
  return undefined
}
