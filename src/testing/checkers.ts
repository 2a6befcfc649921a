export { boundedDuplicates } from './checkers/copies.ts'
export { bytesEqual, effectLedger, ghosts } from './checkers/effects.ts'
export { fencedWrites } from './checkers/fencing.ts'
export type { FencedWrites } from './checkers/fencing.ts'
export { contiguous, lostShape } from './checkers/gaps.ts'
export type { LostShape } from './checkers/gaps.ts'
export { cleanLogs } from './checkers/logs.ts'
export type { LogLimits } from './checkers/logs.ts'
export { countedLosses } from './checkers/losses.ts'
export { steadyMemory } from './checkers/memory.ts'
export type { ProcessMemory } from './checkers/memory.ts'
export { conservation } from './checkers/money.ts'
export { perKeyOrder } from './checkers/order.ts'
export { stateAndOutput } from './checkers/outputs.ts'
export { lossesEnd, progressDuring, recoveryTime } from './checkers/progress.ts'
export type { ProgressLimits, Recovery } from './checkers/progress.ts'
export { accounted, totalQueue } from './checkers/queue.ts'
export type { QueueResult } from './checkers/queue.ts'
export { singleRuns } from './checkers/runs.ts'
export { notVacuous } from './checkers/vacuity.ts'
export type { VacuityLimits } from './checkers/vacuity.ts'
export { allowedAnomalies, anomalyKinds, judge } from './checkers/verdict.ts'
export type {
  Anomaly,
  AnomalyKind,
  CheckResult,
  JudgedGuarantee,
  Judgement,
  Verdict,
} from './checkers/verdict.ts'
