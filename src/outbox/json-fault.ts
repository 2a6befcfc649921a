/** The first thing in a value that JSON would refuse or silently change. */
export interface JsonFault {
  readonly path: readonly PropertyKey[]
  /** Completes "… is": never the value itself. */
  readonly what: string
}

/** Far beyond any honest message, and well inside what parsers of other languages accept. */
const maxDepth = 500

const lossy = [
  Map,
  Set,
  WeakMap,
  WeakSet,
  WeakRef,
  RegExp,
  Error,
  Promise,
  ArrayBuffer,
  SharedArrayBuffer,
] as const

/**
 * Looks for what a reader would not get back (W5): `undefined` as a value or in an array, functions, symbols, bigints, NaN
 * and infinities, invalid dates, maps, sets, bytes and the like, cycles. A property whose value is `undefined` passes:
 * it is left out, and reads as `undefined` again.
 */
export function findJsonFault(value: unknown): JsonFault | undefined {
  const path: PropertyKey[] = []
  const what = walk(value, path, 0)
  return what === undefined ? undefined : { path: path.toReversed(), what }
}

/** Returns what is wrong, having pushed the path to it from the inside out: the right case builds no path at all. */
function walk(value: unknown, path: PropertyKey[], depth: number): string | undefined {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return undefined
    case 'number':
      return Number.isFinite(value) ? undefined : 'a number that JSON has no form for (NaN or infinite)'
    case 'object':
      return value === null ? undefined : walkObject(value, path, depth)
    case 'undefined':
      return 'undefined'
    case 'bigint':
    case 'function':
    case 'symbol':
      return `a ${typeof value}`
  }
}

function walkObject(value: object, path: PropertyKey[], depth: number): string | undefined {
  if (depth >= maxDepth) return `nested more than ${maxDepth} levels deep, or refers to itself`
  if (ArrayBuffer.isView(value)) return 'bytes inside JSON (send them as text, base64 for example)'
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? 'an invalid date' : undefined
  if (hasToJson(value)) {
    const replaced = value.toJSON('')
    return replaced === value ? undefined : walk(replaced, path, depth + 1)
  }
  for (const type of lossy) if (value instanceof type) return `a ${type.name}, which JSON writes as {}`
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i++) {
      const fault = walk(value[i], path, depth + 1)
      if (fault !== undefined) return at(i, fault, path)
    }
    return undefined
  }
  for (const name of Object.keys(value)) {
    const member = (value as Record<string, unknown>)[name]
    if (member === undefined) continue
    const fault = walk(member, path, depth + 1)
    if (fault !== undefined) return at(name, fault, path)
  }
  return undefined
}

function at(key: PropertyKey, fault: string, path: PropertyKey[]): string {
  path.push(key)
  return fault
}

function hasToJson(value: object): value is { toJSON(key: string): unknown } {
  return 'toJSON' in value && typeof value.toJSON === 'function'
}
