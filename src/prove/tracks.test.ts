import { expect, test } from 'vitest'
import { guarantees } from '../guarantees/guarantees.ts'
import type { ProveSettings } from './settings.ts'
import { tracksOf } from './tracks.ts'

const settings: ProveSettings = {
  id: 'waybill_prove_1',
  databaseUrl: 'postgres://nobody@127.0.0.1:1/none',
  brokers: null,
  sessionTimeoutMs: 1500,
  schema: 'w',
  loadSchema: 'l',
  guarantees,
  perSecond: 1,
  leaseMs: 2000,
  canary: 'c',
  storeWay: null,
  service: null,
  copies: null,
}

test('over the local transport each guarantee is kept in one way; over Kafka exactly-once in four', () => {
  const names = (brokers: readonly string[] | null): readonly string[] =>
    tracksOf({ ...settings, brokers }).map(({ name }) => name)
  expect(names(null)).toEqual(['at-most-once', 'at-least-once', 'effectively-once', 'exactly-once'])
  expect(names(['localhost:9092'])).toEqual([
    'at-most-once',
    'at-least-once',
    'effectively-once',
    'exactly-once-fenced',
    'exactly-once-idempotent',
    'exactly-once-checkpoint',
    'exactly-once-transform',
  ])
})
