import { expect } from 'vitest'
import type { FailpointName } from '../../src/kernel/failpoint.ts'
import {
  accounted,
  boundedDuplicates,
  type CheckResult,
  countedLosses,
  effectLedger,
  ghosts,
  type HistoryEvent,
  judge,
  notVacuous,
  perKeyOrder,
  singleRuns,
  totalQueue,
} from '../../src/testing.ts'
import { isFull } from '../setup/full.ts'
import type { SceneChoice } from './children/channel.ts'
import { type Role, Scene, type SceneOptions } from './scene.ts'

/** A process to be killed, at a step, at that step's so-many-th time. */
export interface Row {
  readonly role: Role
  readonly point: FailpointName
  readonly at: number
}

export const row = (role: Role, point: FailpointName, at: number): Row => ({ role, point, at })

/** All of them in the full run; otherwise those at the points where guarantee and form differ from the others'. */
export function chosen(rows: readonly Row[], always: readonly FailpointName[]): readonly Row[] {
  return isFull ? rows : rows.filter(({ point }) => always.includes(point))
}

export function title({ role, point }: Row): string {
  return `the ${role} is killed at ${point}`
}

type ChosenOptions = SceneOptions & { readonly choice: SceneChoice }

export interface Played {
  readonly history: readonly HistoryEvent[]
  readonly lossesCounted: number
}

/** Kills one process at one step, starts it again, and lets everything end. */
export async function play(options: ChosenOptions, killed: Row, mayLose: boolean): Promise<Played> {
  await using scene = await Scene.open(options)
  const { role, point, at } = killed
  const start = (own: Role): void => {
    scene.start(own, own, own === role ? `${point}=kill@${at}` : undefined)
  }
  if (options.brokers !== null) start('relay')
  start('consumer')
  start('writer')
  await scene.revive(role)
  if (mayLose) await scene.closed()
  else await scene.drained()
  return { history: await scene.history(), lossesCounted: await scene.lossesCounted() }
}

/** Plays, and judges what happened by the guarantee that was chosen. */
export async function run(options: ChosenOptions, killed: Row): Promise<void> {
  const { guarantee } = options.choice
  const mayLose = guarantee === 'at-most-once'
  const { history, lossesCounted } = await play(options, killed, mayLose)
  const losses = mayLose && isCounted(options, killed.role) ? [countedLosses(history, lossesCounted)] : []
  const judgement = judge([...resultsOf(options, history), ...losses], guarantee)
  expect(judgement.anomalies).toEqual([])
  expect(judgement.verdict).toBe('valid')
}

export function resultsOf(
  { choice, brokers }: ChosenOptions,
  history: readonly HistoryEvent[],
): readonly CheckResult[] {
  const results = [
    totalQueue(history),
    effectLedger(history),
    ghosts(history),
    perKeyOrder(history),
    accounted(history),
    notVacuous(history, { minCommitted: 20, minFaults: 1, isDrained: true, pending: 0 }),
  ]
  if (choice.guarantee === 'at-most-once') results.push(singleRuns(history))
  if (brokers === null) return results
  // Sent once, or in one fenced transaction: no fault explains a copy.
  const isOneEach = choice.guarantee === 'at-most-once' || choice.publishing === 'fenced'
  const judged = isOneEach ? history.filter(({ f }) => f !== 'fault') : history
  return [...results, boundedDuplicates(judged)]
}

/** Between the answer to a settlement and the handler a consumer at a broker leaves no trace: `explain` says so. */
function isCounted({ brokers }: SceneOptions, role: Role): boolean {
  return brokers === null || role !== 'consumer'
}
