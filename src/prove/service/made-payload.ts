import type { Chance } from '../../testing.ts'

/** What a payload is made by: of JSON Schema as much as schema libraries write. Others are `undefined` here. */
interface JsonSchema {
  readonly type?: string | readonly string[]
  readonly const?: unknown
  readonly enum?: readonly unknown[]
  readonly default?: unknown
  readonly anyOf?: readonly JsonSchema[]
  readonly oneOf?: readonly JsonSchema[]
  readonly allOf?: readonly JsonSchema[]
  readonly $ref?: string
  readonly properties?: Readonly<Record<string, JsonSchema>>
  readonly required?: readonly string[]
  readonly items?: JsonSchema
  readonly prefixItems?: readonly JsonSchema[]
  readonly minItems?: number
  readonly minimum?: number
  readonly maximum?: number
  readonly exclusiveMinimum?: number
  readonly exclusiveMaximum?: number
  readonly multipleOf?: number
  readonly format?: string
  readonly minLength?: number
  readonly maxLength?: number
}

interface Converter {
  readonly jsonSchema?: { input(options: { readonly target: string }): unknown }
}

/** Few enough that each key made of them has a history, and many enough for some to be spared by what hits one. */
export const values = 24

/** The JSON Schema of what a Standard Schema takes, where its library tells it (Zod 4.2, ArkType 2.1.28, …). */
export function jsonSchemaOf(schema: { readonly '~standard': object }): JsonSchema | undefined {
  try {
    const converter = (schema['~standard'] as Converter).jsonSchema
    return converter?.input({ target: 'draft-2020-12' }) as JsonSchema | undefined
  } catch {
    // Not everything that can be validated can be written so.
    return undefined
  }
}

/** A payload of few different values. Whether the schema takes it is the schema's to say: patterns and refinements are not looked at. */
export function makePayload(schema: JsonSchema, chance: Chance): unknown {
  const make = (given: JsonSchema): unknown => {
    const one = resolved(given)
    if (one.const !== undefined) return one.const
    if (one.enum !== undefined) return one.enum[Math.floor(chance() * one.enum.length)]
    const choices = one.anyOf ?? one.oneOf
    if (choices !== undefined) return make(choices[Math.floor(chance() * choices.length)]!)
    if (one.allOf !== undefined) return Object.assign({}, ...one.allOf.map(make))
    const type = typeof one.type === 'string' ? one.type : one.type?.[0]
    const number = 1 + Math.floor(chance() * values)
    if (type === 'string') return textOf(one, number)
    if (type === 'integer' || type === 'number') return numberOf(one, number)
    if (type === 'boolean') return chance() < 0.5
    if (type === 'array') return itemsOf(one).map(make)
    if (type === 'null') return null
    const required = (one.required ?? []).filter((name) => one.properties?.[name] !== undefined)
    return Object.fromEntries(required.map((name) => [name, make(one.properties![name]!)]))
  }
  const resolved = (given: JsonSchema): JsonSchema => {
    if (given.$ref === undefined) return given
    const path = given.$ref.split('/').slice(1)
    return path.reduce<unknown>((at, name) => (at as Record<string, unknown>)[name], schema) as JsonSchema
  }
  return make(schema)
}

function itemsOf({ items, prefixItems = [], minItems = 1 }: JsonSchema): readonly JsonSchema[] {
  const rest = items === undefined ? 0 : Math.max(0, minItems - prefixItems.length)
  return [...prefixItems, ...Array.from({ length: rest }, () => items!)]
}

/** Multiples from the first on, or as near to it as the bounds let them be; where none lies between those, parts of what does. */
function numberOf(schema: JsonSchema, number: number): number {
  const { minimum = -Infinity, exclusiveMinimum = -Infinity, multipleOf: step = 1 } = schema
  const { maximum = Infinity, exclusiveMaximum = Infinity } = schema
  const least = Math.max(Math.ceil(minimum / step), Math.floor(exclusiveMinimum / step) + 1)
  const most = Math.min(Math.floor(maximum / step), Math.ceil(exclusiveMaximum / step) - 1)
  if (least > most) {
    const [low, high] = [Math.max(minimum, exclusiveMinimum), Math.min(maximum, exclusiveMaximum)]
    return low + ((high - low) * number) / (values + 1)
  }
  const first = Math.max(least, Math.min(1, most - values + 1))
  return (first + ((number - 1) % (most - first + 1))) * step
}

const texts: Readonly<Record<string, (two: string) => string>> = {
  uuid: (two) => `00000000-0000-4000-8000-0000000000${two}`,
  email: (two) => `k${two}@example.org`,
  'date-time': (two) => `2026-01-01T00:00:${two}Z`,
  date: (two) => `2026-01-${two}`,
  time: (two) => `00:00:${two}`,
  uri: (two) => `https://example.org/${two}`,
  ipv4: (two) => `127.0.0.${Number(two)}`,
}

function textOf({ format, minLength = 0, maxLength = Infinity }: JsonSchema, number: number): string {
  const made = texts[format ?? '']?.(String(number).padStart(2, '0')) ?? `k${number}`.padEnd(minLength, '-')
  return made.length > maxLength ? String.fromCodePoint(96 + number).repeat(Math.max(minLength, 1)) : made
}
