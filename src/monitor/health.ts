import { withDeadline } from '../kernel/deadline.ts'
import { describeError } from '../kernel/errors.ts'
import type { HealthCheck } from '../kernel/monitoring.ts'

export interface ComponentHealth {
  readonly name: string
  readonly isHealthy: boolean
  /** What is wrong; not there where nothing is. */
  readonly reason?: string
}

export interface Health {
  readonly isHealthy: boolean
  readonly components: readonly ComponentHealth[]
}

/**
 * Walks every component, all at once, each with a time-out of its own (M2): one that hangs is named, and keeps nobody from
 * hearing of the others.
 */
export async function examine(checks: readonly HealthCheck[], timeoutMs: number): Promise<Health> {
  const components = await Promise.all(checks.map((check) => examineOne(check, timeoutMs)))
  return { isHealthy: components.every(({ isHealthy }) => isHealthy), components }
}

async function examineOne(check: HealthCheck, timeoutMs: number): Promise<ComponentHealth> {
  const { name } = check
  try {
    const reason = await withDeadline(check.check(), timeoutMs, `The check of ${name}`)
    return reason === null ? { name, isHealthy: true } : { name, isHealthy: false, reason }
  } catch (error) {
    // Its message may quote what a driver says; the code is enough to look further in the log.
    return { name, isHealthy: false, reason: describeError(error).code }
  }
}
