import type { Anomaly, CheckResult } from './verdict.ts'

export interface LogLimits {
  /** Texts that must be nowhere: a password, a payload's canary. */
  readonly secrets: readonly string[]
  /** What a process of its kind must never say. @default unhandled rejections, uncaught exceptions, FATAL */
  readonly forbidden?: RegExp
}

const crash = /[Uu]nhandled ?[Rr]ejection|[Uu]ncaught ?[Ee]xception|\bFATAL\b/u

/** What processes said: no unhandled rejection, no secret and no payload. The line itself is not repeated: it may hold the secret. */
export function cleanLogs(
  logs: Readonly<Record<string, readonly string[]>>,
  { secrets, forbidden = crash }: LogLimits,
): CheckResult {
  const anomalies: Anomaly[] = []
  let checked = 0
  for (const [process, lines] of Object.entries(logs)) {
    lines.forEach((line, at) => {
      checked++
      const detail = `line ${at + 1} of what it said`
      if (secrets.some((secret) => line.includes(secret)))
        anomalies.push({ kind: 'leaked', id: process, detail })
      else if (forbidden.test(line)) anomalies.push({ kind: 'crashed', id: process, detail })
    })
  }
  return { checker: 'cleanLogs', checked, anomalies }
}
