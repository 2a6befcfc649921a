import type { FailpointName } from '../../src/kernel/failpoint.ts'
import { row, type Row } from './judging.ts'
import type { Role } from './scene.ts'

type Points =
  | 'writers'
  | 'relays'
  | 'confirming'
  | 'taking'
  | 'fencing'
  | 'received'
  | 'handlers'
  | 'settled'
  | 'admitted'
  | 'blocked'

/** The crash points by what passes them. Over the local transport the relay runs in the consumer's process. */
export function crashPoints(
  relay: Extract<Role, 'relay' | 'consumer'>,
): Readonly<Record<Points, readonly Row[]>> {
  const at = (role: Role, time: number, ...points: readonly FailpointName[]): readonly Row[] =>
    points.map((point) => row(role, point, time))
  return {
    writers: at(
      'writer',
      9,
      'writer.after-begin',
      'writer.after-business',
      'writer.after-publish',
      'writer.after-commit',
    ),
    relays: at(relay, 1, 'relay.after-claim', 'relay.after-read'),
    confirming: at(relay, 1, 'relay.before-send', 'relay.after-send', 'relay.after-remove'),
    taking: at(relay, 1, 'relay.before-take', 'relay.after-take', 'relay.after-dispatch'),
    fencing: at(
      relay,
      1,
      'relay.after-take-over',
      'relay.before-fenced-send',
      'relay.after-fenced-send',
      'relay.after-fenced-remove',
    ),
    received: at('consumer', 1, 'consumer.after-receive'),
    handlers: [
      row('consumer', 'consumer.after-handler', 9),
      ...at('consumer', 5, 'consumer.before-commit', 'consumer.after-commit'),
    ],
    settled: at('consumer', 1, 'consumer.before-settle', 'consumer.after-settle'),
    admitted: at('consumer', 6, 'consumer.after-admit'),
    // Nothing is refused by itself: these points are passed only where a message is.
    blocked: at(relay, 1, 'relay.before-block', 'relay.after-block'),
  }
}
