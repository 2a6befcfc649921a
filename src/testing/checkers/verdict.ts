import {
  guaranteeTerms,
  type Anomaly as AllowedAnomaly,
  type Guarantee,
} from '../../guarantees/guarantees.ts'
import { WaybillError } from '../../kernel/errors.ts'
import { didYouMean } from '../../kernel/suggest.ts'

/**
 * `lost`: committed and never there · `duplicated`: more effects than one · `redelivered`: handled more than once ·
 * `too-many-copies`: more copies than faults explain · `out-of-order`: a key's first occurrences against its commit order ·
 * `ghost`: rolled back and seen · `invented`: never attempted and seen · `altered`: other bytes than were written ·
 * `contradicted`: two ends that exclude each other, such as delivered and dead · `split`: state without its output, or the reverse ·
 * `unbalanced`: a sum that must not change has · `stalled`: no progress where there had to be some · `unfenced`: a relay that had lost
 * its partition changed a row of it · `leaked`: a secret or a payload in what a process said · `crashed`: an error in it that nobody handled · `grew`: a process
 * whose memory does not stay · `uncounted`: lost, and nobody is told · `vacuous`: the run proves nothing.
 */
export const anomalyKinds = [
  'lost',
  'duplicated',
  'redelivered',
  'too-many-copies',
  'out-of-order',
  'ghost',
  'invented',
  'altered',
  'contradicted',
  'split',
  'unbalanced',
  'stalled',
  'unfenced',
  'leaked',
  'crashed',
  'grew',
  'uncounted',
  'vacuous',
] as const

export type AnomalyKind = (typeof anomalyKinds)[number]

export interface Anomaly {
  readonly kind: AnomalyKind
  /** The message's id, or what else is meant. */
  readonly id: string
  readonly detail: string
  /** The other message it takes to see it, as of two out of order. */
  readonly other?: string
}

/** What one checker found. `checked` counts what it looked at: a checker that looked at nothing has shown nothing. */
export interface CheckResult {
  readonly checker: string
  readonly checked: number
  readonly anomalies: readonly Anomaly[]
}

/** `unknown`: nothing wrong was seen, in a run that could not have shown it. */
export type Verdict = 'valid' | 'invalid' | 'unknown'

export interface Judgement {
  readonly verdict: Verdict
  /** What stands against it; where it is `invalid`, without what is merely vacuous. */
  readonly anomalies: readonly Anomaly[]
}

export type JudgedGuarantee = Guarantee

/** What the table of guarantees calls by its effect and checkers by what they see; copies within their bound are none. */
const seenAs: Readonly<Record<AllowedAnomaly, AnomalyKind | null>> = {
  lost: 'lost',
  copied: null,
  rerun: 'redelivered',
  repeated: 'duplicated',
  disordered: 'out-of-order',
  ghost: 'ghost',
}

/** What a guarantee leaves open, by the one table of them: the whole difference between guarantees, for all checkers. */
export const allowedAnomalies: Readonly<Record<JudgedGuarantee, readonly AnomalyKind[]>> = {
  'at-most-once': kindsAllowed('at-most-once'),
  'at-least-once': kindsAllowed('at-least-once'),
  'effectively-once': kindsAllowed('effectively-once'),
  'exactly-once': kindsAllowed('exactly-once'),
}

function kindsAllowed(guarantee: Guarantee): readonly AnomalyKind[] {
  return guaranteeTerms[guarantee].allowed.flatMap((anomaly) => seenAs[anomaly] ?? [])
}

/**
 * The verdict over all results: invalid where an anomaly is not allowed, else unknown where a result is vacuous or a checker
 * had nothing to look at, else valid. `none`: no anomaly is allowed, as in a run without a fault. Throws `WB_INVALID_OPTION` for another
 * word: misspelt it would allow nothing, or everything.
 */
export function judge(results: readonly CheckResult[], guarantee: JudgedGuarantee | 'none'): Judgement {
  if (guarantee !== 'none' && !Object.hasOwn(allowedAnomalies, guarantee)) {
    const known = [...Object.keys(allowedAnomalies), 'none']
    throw new WaybillError(
      'WB_INVALID_OPTION',
      `There is no guarantee ${JSON.stringify(guarantee)} to judge by: it is one of ${known.join(', ')}.` +
        didYouMean(guarantee, known),
    )
  }
  const allowed = new Set<AnomalyKind>(guarantee === 'none' ? [] : allowedAnomalies[guarantee])
  const found = results.flatMap(({ anomalies }) => anomalies).filter(({ kind }) => !allowed.has(kind))
  const wrong = found.filter(({ kind }) => kind !== 'vacuous')
  if (wrong.length > 0) return { verdict: 'invalid', anomalies: wrong }
  const idle = results
    .filter(({ checked }) => checked === 0)
    .map(({ checker }): Anomaly => ({ kind: 'vacuous', id: checker, detail: 'it had nothing to look at' }))
  const vacuous = [...found, ...idle]
  if (vacuous.length > 0 || results.length === 0) return { verdict: 'unknown', anomalies: vacuous }
  return { verdict: 'valid', anomalies: [] }
}
