import { expect, it } from 'vitest'
import type { Guarantee } from '../../src/index.ts'
import { type AnomalyKind, judge } from '../../src/testing.ts'
import { isFull } from '../setup/full.ts'
import { describeWithKafka, kafkaBrokers, postgresDatabase } from '../setup/servers.ts'
import type { SceneChoice } from './children/channel.ts'
import type { Sabotage } from './children/sabotage.ts'
import { play, resultsOf, row, type Row } from './judging.ts'

interface Mutant {
  readonly name: string
  /** What runs. */
  readonly choice: SceneChoice
  readonly sabotage?: Sabotage
  readonly over: 'local' | 'kafka'
  readonly killed: Row
  /** By what it is judged, and what must be found. */
  readonly judged: SceneChoice
  readonly finds: AnomalyKind
}

const fenced: SceneChoice = { guarantee: 'exactly-once', publishing: 'fenced' }
const byInbox: SceneChoice = { guarantee: 'exactly-once', publishing: 'idempotent' }
const of = (guarantee: Guarantee): SceneChoice => ({ guarantee })

const mutants: readonly Mutant[] = [
  {
    name: 'at-most-once that settles after the handler',
    choice: of('at-least-once'),
    over: 'kafka',
    killed: row('consumer', 'consumer.after-handler', 9),
    judged: of('at-most-once'),
    finds: 'redelivered',
  },
  {
    name: 'at-most-once whose client sends again',
    choice: of('at-most-once'),
    sabotage: 'dispatch-twice',
    over: 'kafka',
    killed: row('relay', 'relay.after-claim', 1),
    judged: of('at-most-once'),
    finds: 'too-many-copies',
  },
  {
    name: 'at-most-once that deletes after the send',
    choice: of('at-least-once'),
    over: 'local',
    killed: row('consumer', 'consumer.after-commit', 5),
    judged: of('at-most-once'),
    finds: 'redelivered',
  },
  {
    name: 'at-least-once that deletes before the send',
    choice: of('at-most-once'),
    over: 'kafka',
    killed: row('relay', 'relay.after-take', 1),
    judged: of('at-least-once'),
    finds: 'lost',
  },
  {
    name: 'at-least-once that settles before the effect',
    choice: of('at-most-once'),
    over: 'local',
    killed: row('consumer', 'consumer.after-receive', 1),
    judged: of('at-least-once'),
    finds: 'lost',
  },
  {
    name: 'at-least-once that tells the broker before it commits',
    choice: of('at-least-once'),
    sabotage: 'settle-early',
    over: 'kafka',
    killed: row('consumer', 'consumer.before-commit', 5),
    judged: of('at-least-once'),
    finds: 'lost',
  },
  {
    name: 'effectively-once whose handler is not idempotent',
    choice: of('effectively-once'),
    sabotage: 'repeats',
    over: 'local',
    killed: row('consumer', 'consumer.after-commit', 5),
    judged: of('effectively-once'),
    finds: 'duplicated',
  },
  {
    name: 'exactly-once without an inbox',
    choice: of('at-least-once'),
    over: 'local',
    killed: row('consumer', 'consumer.after-commit', 5),
    judged: byInbox,
    finds: 'duplicated',
  },
  {
    name: 'exactly-once whose note of the message is in another transaction',
    choice: byInbox,
    sabotage: 'marker-apart',
    over: 'kafka',
    killed: row('consumer', 'consumer.before-commit', 5),
    judged: byInbox,
    finds: 'lost',
  },
  {
    name: 'exactly-once publishing that is only idempotent',
    choice: byInbox,
    over: 'kafka',
    killed: row('relay', 'relay.after-send', 1),
    judged: fenced,
    finds: 'too-many-copies',
  },
]

// What must be found is lost or repeated, so the end of these runs is told by their last orders.
describeWithKafka('a mutant is found by the line of the guarantee it breaks', () => {
  const rows = mutants.filter(({ over }) => isFull || over === 'local')
  it.each(rows.map((mutant) => [mutant.name, mutant] as const))('%s', async (_name, mutant) => {
    const { choice, sabotage, over, killed, judged, finds } = mutant
    const { url } = await postgresDatabase()
    const options = {
      choice,
      producerUrl: url,
      brokers: over === 'kafka' ? await kafkaBrokers() : null,
      ...(sabotage === undefined ? {} : { sabotage }),
    }
    const { history } = await play(options, killed, true)
    const { verdict, anomalies } = judge(resultsOf({ ...options, choice: judged }, history), judged.guarantee)
    expect(verdict).toBe('invalid')
    expect(new Set(anomalies.map(({ kind }) => kind))).toContain(finds)
  })
})
