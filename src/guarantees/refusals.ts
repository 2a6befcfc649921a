import type { CompileInput, Refusal } from './plan.ts'
import { consumerRules } from './refusals/consumer.ts'
import { orderRules } from './refusals/order.ts'
import { retryRules } from './refusals/retry.ts'
import type { Rule } from './refusals/rule.ts'
import { storeRules } from './refusals/store.ts'
import { transportRules } from './refusals/transport.ts'
import { windowRules } from './refusals/window.ts'

/**
 * Every reason why a choice cannot hold, by its stable id; docs/guarantees.md is made from it. They are asked in this order: what no
 * other change can cure first, so that the nearest choice of one does not run into the next.
 */
export const refusalRules: Readonly<Record<string, Rule>> = {
  ...transportRules,
  ...storeRules,
  ...orderRules,
  ...consumerRules,
  ...windowRules,
  ...retryRules,
}

/** The first reason against it, or `null`. */
export function findRefusal(input: CompileInput): Refusal | null {
  for (const [reason, { cause, find }] of Object.entries(refusalRules)) {
    const found = find(input)
    if (found === null) continue
    const { name, guarantee } = input.channel
    return { kind: 'refusal', channel: name, guarantee, cause, reason, ...found }
  }
  return null
}

/** What an error or a log line says of a refusal: what cannot hold, why, and the nearest that can. */
export function refusalText({ message, nearest }: Refusal): string {
  return `${message} Nearest that holds: ${nearest.words}.`
}
