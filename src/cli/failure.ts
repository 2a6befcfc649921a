import { describeError, isWaybillError } from '../kernel/errors.ts'
import type { Output } from './output.ts'

/** What the process ends with, besides 0. */
export const exitCodes = {
  failed: 1,
  /** The command line itself was wrong. */
  usage: 2,
} as const

/** The error for people on stderr, and with `--json` for programs as the line on stdout. Returns the exit code. */
export function tellFailure(output: Output, error: unknown): number {
  const { code, message } = describeError(error, 4000)
  const { red, dim } = output.errorColors
  output.note(`${red('error')} ${message}${isWaybillError(error) ? dim(` (${code})`) : ''}`)
  for (const cause of causesOf(error)) output.note(dim(`  because: ${describeError(cause).message}`))
  if (!isWaybillError(error) && error instanceof Error && error.stack !== undefined) {
    // Not one of ours: a defect, and the place is what a report of it needs.
    output.note(dim(error.stack.split('\n').slice(1).join('\n')))
  }
  const causes = causesOf(error).map((cause) => describeError(cause, 4000).message)
  output.result({ error: { code, message, ...(causes.length > 0 ? { causes } : {}) } })
  return exitCodes.failed
}

function causesOf(error: unknown): readonly unknown[] {
  const causes: unknown[] = []
  for (let cause = causeOf(error); cause !== undefined && causes.length < 3; cause = causeOf(cause))
    causes.push(cause)
  return causes
}

function causeOf(error: unknown): unknown {
  return error instanceof Error ? error.cause : undefined
}
