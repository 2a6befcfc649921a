import { describeError, WaybillError } from '../kernel/errors.ts'

interface Issue {
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined
}

type Verdict<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly Issue[] }

/** What Waybill needs of a schema: Standard Schema version 1, which Zod, Valibot, ArkType and others implement. */
export interface StandardSchema<Input = unknown, Output = Input> {
  readonly '~standard': {
    readonly version: 1
    readonly vendor: string
    readonly validate: (value: unknown) => Verdict<Output> | Promise<Verdict<Output>>
    readonly types?: { readonly input: Input; readonly output: Output } | undefined
  }
}

/** What may be given to `publish`: the type before validation. */
export type SchemaInput<Schema extends StandardSchema> = NonNullable<Schema['~standard']['types']>['input']

/** What is stored and what handlers get: the type after validation. */
export type SchemaOutput<Schema extends StandardSchema> = NonNullable<Schema['~standard']['types']>['output']

/**
 * The validated output of `value`; a promise only where the schema itself is asynchronous, so that a synchronous `publish`
 * reaches the connection in the turn it was called in. Throws or rejects with `WB_INVALID_PAYLOAD`, which names the path
 * and neither the value nor the library's sentence: those may quote the payload (S16).
 */
export function validate<Output>(
  schema: StandardSchema<unknown, Output>,
  value: unknown,
  what: string,
): Output | Promise<Output> {
  let verdict: Verdict<Output> | Promise<Verdict<Output>>
  try {
    verdict = schema['~standard'].validate(value)
  } catch (error) {
    throw schemaThrew(error, what)
  }
  if (!('then' in verdict)) return judge(verdict, what)
  return verdict.then(
    (late) => judge(late, what),
    (error: unknown) => {
      throw schemaThrew(error, what)
    },
  )
}

function judge<Output>(verdict: Verdict<Output>, what: string): Output {
  if (verdict.issues === undefined) return verdict.value
  const first = verdict.issues[0]
  const more = verdict.issues.length > 1 ? ` (and ${verdict.issues.length - 1} more)` : ''
  throw new WaybillError(
    'WB_INVALID_PAYLOAD',
    `The payload of ${what} does not match the channel's schema at ${pathText(first?.path ?? [])}${more}.`,
  )
}

function schemaThrew(error: unknown, what: string): WaybillError {
  return new WaybillError(
    'WB_INVALID_PAYLOAD',
    `The payload of ${what} could not be validated: the channel's schema threw ${describeError(error).code}.`,
  )
}

/** `$.items[3].price`. */
export function pathText(path: readonly (PropertyKey | { readonly key: PropertyKey })[]): string {
  let text = '$'
  for (const segment of path) {
    const key = typeof segment === 'object' ? segment.key : segment
    text += typeof key === 'number' ? `[${key}]` : `.${String(key)}`
  }
  return text.length <= 200 ? text : `${text.slice(0, 199)}…`
}
