import type { Guarantee } from '../index.ts'
import {
  accounted,
  type Anomaly,
  bytesEqual,
  type CheckResult,
  conservation,
  countedLosses,
  contiguous,
  effectLedger,
  ghosts,
  type HistoryEvent,
  judge,
  type Judgement,
  lossesEnd,
  lostShape,
  perKeyOrder,
  progressDuring,
  recoveryTime,
  singleRuns,
  stateAndOutput,
  totalQueue,
  type Verdict,
} from '../testing.ts'
import { withoutFailedRuns } from './failed-runs.ts'
import { chargedTo, isUnderWay, livesOf } from './lives.ts'
import { fellBehind, type Stall } from './stalls.ts'
import type { Judged, Way } from './tracks.ts'
import { type CounterExample, counterExampleOf } from './counter-example.ts'

/** A time in which a fault was in effect, in microseconds of the history's clock. */
export interface Spell {
  readonly fault: string
  readonly from: number
  /** When it was healed. */
  readonly to: number
  /** When nothing was under way any more that was written before it was healed; or when that was given up. */
  readonly quietAt: number
  readonly hasStruck: boolean
}

/** What was seen of one guarantee under one fault. */
export interface Row {
  readonly guarantee: Guarantee
  /** How it is kept, where there is a choice. */
  readonly way: Way | null
  /** The user's own channel and consumer; `null` where the load is the run's own. */
  readonly channel: string | null
  readonly consumer: string | null
  /** `none`: no fault, before the first of them · `start`: everything was started, and met its first messages. */
  readonly fault: string
  readonly verdict: Verdict | 'not-run'
  /** How often the fault came of which this was seen. */
  readonly times: number
  /** Messages that were under way while it lasted. */
  readonly messages: number
  /** Messages whose handler ran again, whose effect came again, that were lost: as far as the guarantee allows them. */
  readonly rerun: number
  readonly repeated: number
  readonly lost: number
  /** Messages that were given up and kept as dead letters, which every guarantee allows where a handler fails. */
  readonly dead: number
  /** From the end of the fault to the end of the last message that was written before that; in milliseconds. */
  readonly recoveryMs: number | null
  /** What is wrong, or why the row shows nothing. */
  readonly anomalies: readonly Anomaly[]
  /** Where it is invalid: all that is known of the first message that is wrong. */
  readonly counterExample: CounterExample | null
}

export interface TrackEvidence {
  readonly guarantee: Guarantee
  readonly way: Way | null
  /** @default `null`: the track is one of the run's own */
  readonly pair?: Judged['pair']
  readonly history: readonly HistoryEvent[]
  /** Readings of all its money. */
  readonly readings: readonly HistoryEvent[]
  /** `null`: none moves with its effects. */
  readonly money: number | null
  readonly hasFollow: boolean
  /** Losses that are counted. @default `null`: some are where nobody sees them, or none is allowed */
  readonly counted?: number | null
  /** Why it may show nothing, whatever is in the history. @default none */
  readonly doubts?: readonly string[]
}

/**
 * Everything is started at once, and what a server does for the first time takes it longer than any process waits for: that may bring a
 * message again, which would speak against what has no fault.
 */
export const startSpell = 'start'

/** Without any fault: nothing is allowed. */
export const noFault = 'none'

/** Whether somebody made it happen. */
export function isInjected(fault: string): boolean {
  return fault !== noFault && fault !== startSpell
}

/** LIVE: what was written before a fault ended has had its effect within this time after it. */
export const mostRecoveryMs = 15_000

/** Names the reason of a row that shows nothing because processes got no turn. */
export const busyMachine = 'machine'

/** A busy machine takes its time to start everything. */
export const mostStartMs = 60_000

/** What the whole history of a track says against its guarantee. */
function resultsOf({
  guarantee,
  pair = null,
  history,
  readings,
  money,
  hasFollow,
  counted = null,
}: TrackEvidence): readonly CheckResult[] {
  // A handler of theirs may fail, and is tried again; but what is handed over at most once is not.
  const mayFail = pair !== null && guarantee !== 'at-most-once'
  return [
    totalQueue(history),
    effectLedger(history),
    ghosts(history),
    bytesEqual(history),
    perKeyOrder(history),
    accounted(history),
    contiguous(history),
    // Of all of them: without a fault no handler runs again, even where it changes nothing.
    singleRuns(mayFail ? withoutFailedRuns(history) : history),
    // A fault and what it takes to recover from it, twice over.
    ...(guarantee === 'at-most-once' ? [lossesEnd(history, 2 * mostRecoveryMs)] : []),
    ...(counted === null ? [] : [countedLosses(history, counted)]),
    ...(hasFollow ? [stateAndOutput(history), outputsOnce(history)] : []),
    ...(guarantee === 'exactly-once' && money !== null ? [conservation(readings, money)] : []),
  ]
}

/** What handlers publish has its effect exactly once too; on a wire there may be copies. */
function outputsOnce(history: readonly HistoryEvent[]): CheckResult {
  const outputs = history.filter(({ f, type }) => f === 'output' && type === 'ok')
  const first = new Map(outputs.toReversed().map((one) => [one.id, one]))
  const anomalies = outputs
    .filter((one) => first.get(one.id) !== one)
    .map(({ id, of = '' }): Anomaly => {
      return { kind: 'duplicated', id: of, detail: `its output ${id} has had its effect again` }
    })
  return { checker: 'outputsOnce', checked: outputs.length, anomalies }
}

/** A row for each fault: of the messages that were under way while it lasted, and of what is wrong with them. */
export function rowsOf(
  track: TrackEvidence,
  spells: readonly Spell[],
  isDrained: boolean,
  stalls: readonly Stall[] = [],
): readonly Row[] {
  const { guarantee, way, history, pair = null, doubts = [] } = track
  const results = resultsOf(track)
  const lives = livesOf(history, spells)
  const all = [...lives].map(([id, life]) => ({ id, ...life }))
  const eventsOf = Map.groupBy(history, ({ id }) => id)
  const runs = singleRuns(history)
  const isBehind = spells.some(({ fault, from, to }) => fault === noFault && fellBehind(history, from, to))
  return spells.map((spell) => {
    const isIn = (id: string): boolean => {
      const life = lives.get(id)
      // Of no message, or of one whose life is not known: it speaks against every row.
      return life === undefined || chargedTo(life, spells).includes(spell)
    }
    const under = all.filter((life) => isUnderWay(life, spell))
    const own = results.map((result) => ({
      ...result,
      // All of the history was looked at, which of the run's own load has something for every checker: transactions that rolled back,
      // hashes, several of a key. A user's may have none. Money that nobody could read is not known to be there.
      checked:
        result.checker === 'conservation' || pair === null ? result.checked : Math.max(1, result.checked),
      anomalies: result.anomalies.filter(({ id }) => isIn(id)),
    }))
    if (
      spell.fault === startSpell &&
      under.length === 0 &&
      own.every(({ anomalies }) => anomalies.length === 0)
    )
      return notRun(track, spell.fault, 'it had no message yet')
    const givenUp = deadLetters(history, isIn)
    const recovery = recoveryOf(
      under.flatMap(({ id }) => eventsOf.get(id) ?? []),
      spell,
    )
    const progress = pair === null && sparesOthers.test(spell.fault) ? [progressOf(history, spell)] : []
    // A machine that gives processes no turn is a fault that nobody has injected: leases end, and recovery waits for it.
    const stoodIn = (from: number, to: number): boolean =>
      // Who was stopped on purpose notes that too, once it goes on.
      stalls.some((one) => one.from >= from && one.from <= to && spell.fault !== `pause ${one.process}`)
    const isLate = recovery !== null && recovery.anomalies.length > 0
    const isStill = progress.some(({ anomalies }) => anomalies.length > 0)
    const isWrong = own.some(({ anomalies }) => anomalies.length > 0)
    // One that falls behind without a fault is none to tell how long something may take on.
    const stood =
      stoodIn(spell.fault === noFault ? spell.from : spell.to, spell.quietAt) ||
      (isBehind && (isLate || (spell.fault === noFault && isWrong)))
    const vacuous: Anomaly[] = []
    const say = (id: string, detail: string): void => {
      vacuous.push({ kind: 'vacuous', id, detail })
    }
    if (!spell.hasStruck) say('fault', 'it has hit nothing')
    if (under.length === 0) say('messages', 'none was under way that could have felt it')
    else if (!all.some(({ to, isCommitted }) => isCommitted && to >= spell.from))
      say('messages', 'none was committed from then on')
    const stoodMeanwhile = stoodIn(spell.from, spell.to)
    if ((stood && (isLate || spell.fault === noFault)) || (stoodMeanwhile && isStill))
      say(
        busyMachine,
        'processes that nobody had stopped stood still, or fell behind: it was busy with something else',
      )
    for (const doubt of doubts) say('handler', doubt)
    if (!isDrained) say('drain', 'messages were still under way when the time for draining was over')
    // Without a fault nothing may be lost, and nothing comes twice, whatever the guarantee leaves open.
    const judged = judge(
      [
        ...own,
        ...(recovery === null || (isLate && stood) ? [] : [recovery]),
        ...(stoodMeanwhile ? [] : progress),
        ...(pair === null ? [{ ...givenUp, checked: 1 }] : []),
        { checker: 'notVacuous', checked: 1, anomalies: vacuous },
      ],
      spell.fault === noFault && !stood ? 'none' : guarantee,
    )
    const isOrderly = pair === null && endsInOrder.test(spell.fault) && !isBehind
    const { verdict, anomalies: found } =
      judged.verdict === 'invalid' || !isOrderly || stoodIn(spell.from, spell.quietAt)
        ? judged
        : strictly(judged, own, (id) => {
            const life = lives.get(id)
            return life !== undefined && chargedTo(life, spells).length === 1
          })
    const anomalies = withShape(found, history)
    const count = (kind: Anomaly['kind']): number =>
      new Set(
        own.flatMap((result) => result.anomalies.filter((one) => one.kind === kind).map(({ id }) => id)),
      ).size
    return {
      guarantee,
      way,
      channel: pair?.channel ?? null,
      consumer: pair?.consumer ?? null,
      fault: spell.fault,
      verdict,
      times: 1,
      messages: under.length,
      rerun: runs.anomalies.filter(({ id }) => isIn(id)).length,
      repeated: count('duplicated'),
      lost: count('lost'),
      dead: givenUp.anomalies.length,
      recoveryMs: recovery?.recoveryMs ?? null,
      anomalies,
      counterExample:
        verdict === 'invalid' ? counterExampleOf(anomalies[0]!, [...history, ...track.readings]) : null,
    }
  })
}

/** F16: who is asked to end settles and sends what it has in hand, and others go on without a copy. */
const endsInOrder = /^restart (?:consumer|relay|writer)/u

/**
 * No effect comes twice and none is lost, of the messages that no other fault can have hit. A handler may run again: transactions of two
 * consumers may have met in a deadlock.
 */
function strictly(
  judged: Judgement,
  results: readonly CheckResult[],
  isAlone: (id: string) => boolean,
): Judgement {
  const alone = results.map(({ checker, anomalies }) => ({
    checker,
    checked: 1,
    anomalies: anomalies.filter(({ kind, id }) => kind !== 'redelivered' && isAlone(id)),
  }))
  const strict = judge(alone, 'none')
  return strict.verdict === 'invalid' ? strict : judged
}

/** The handlers of the run's own load never fail, and no fault lasts for all attempts: a dead letter was not delivered for no reason. */
function deadLetters(history: readonly HistoryEvent[], isIn: (id: string) => boolean): CheckResult {
  const ids = new Set(
    history.flatMap(({ f, type, id }) => (f === 'dead' && type === 'ok' && id !== null ? [id] : [])),
  )
  const anomalies = [...ids]
    .filter(isIn)
    .map((id): Anomaly => ({ kind: 'lost', id, detail: 'it was given up, though its handler never fails' }))
  return { checker: 'deadLetters', checked: ids.size, anomalies }
}

/** Nothing was seen of it, for this reason. */
export function notRun(
  { guarantee, way, pair = null }: Pick<TrackEvidence, 'guarantee' | 'way' | 'pair'>,
  fault: string,
  why: string,
): Row {
  return {
    guarantee,
    way,
    channel: pair?.channel ?? null,
    consumer: pair?.consumer ?? null,
    fault,
    verdict: 'not-run',
    times: 0,
    messages: 0,
    rerun: 0,
    repeated: 0,
    lost: 0,
    dead: 0,
    recoveryMs: null,
    anomalies: [{ kind: 'vacuous', id: 'not run', detail: why }],
    counterExample: null,
  }
}

/** Why a fault did not run that would have come later. */
export const noTime = 'there was no time'

function recoveryOf(
  history: readonly HistoryEvent[],
  { from, to, fault }: Spell,
): ReturnType<typeof recoveryTime> | null {
  if (!isInjected(fault)) return null
  const found = recoveryTime([...spellEvents({ fault, from, to }), ...history], mostRecoveryMs)
  return found.checked === 0 ? null : found
}

/**
 * One of two is stopped for longer than its lease: the keys of the other one go on meanwhile. In its second half, that is: what had
 * begun before ends in the first.
 */
const sparesOthers = /^pause (?:consumer|relay)-/u

function progressOf(history: readonly HistoryEvent[], spell: Spell): CheckResult {
  const half = { ...spell, from: (spell.from + spell.to) / 2 }
  const during = history.filter(({ t }) => t >= half.from && t <= half.to)
  return progressDuring([...spellEvents(half), ...during], { fault: spell.fault })
}

function spellEvents({ fault, from, to }: Pick<Spell, 'fault' | 'from' | 'to'>): readonly HistoryEvent[] {
  const mark = { process: 'prove', key: fault, seq: null, id: null, f: 'fault' } as const
  return [
    { ...mark, type: 'invoke', t: from },
    { ...mark, type: 'ok', t: to },
  ]
}

function withShape(anomalies: readonly Anomaly[], history: readonly HistoryEvent[]): readonly Anomaly[] {
  const lost = anomalies.filter(({ kind }) => kind === 'lost').map(({ id }) => id)
  if (lost.length === 0) return anomalies
  const shape = lostShape(history, lost)
  return anomalies.map((one) =>
    one.kind === 'lost' ? { ...one, detail: `${one.detail} (${shape} of all)` } : one,
  )
}
