import { type Coverage, crash, prove, test } from '../shown.ts'

/** Producer and relay (2a). */
export const producerRows: readonly Coverage[] = [
  {
    id: 'F1',
    fault: 'crash before COMMIT',
    shown: [
      ...crash('writer.after-begin', 'writer.after-business', 'writer.after-publish'),
      ...prove('kill writer'),
    ],
  },
  {
    id: 'F2',
    fault: 'outcome of a COMMIT unknown',
    shown: [
      ...prove('lost commit writer-postgres', 'lost commit consumers-postgres'),
      test('test/stores/postgres/transactions.test.ts', 'is of unknown outcome, and carries the id'),
      test('test/app/local.test.ts', 'is unknown, and the message is there if and only if the row is'),
    ],
  },
  {
    id: 'F3',
    fault: 'crash after COMMIT, before the claim',
    shown: [...crash('writer.after-commit'), ...prove('kill relay-1', 'kill relay-2')],
  },
  {
    id: 'F4',
    fault: 'crash after the claim, before the publish',
    shown: crash('relay.after-claim', 'relay.after-read', 'relay.before-send', 'relay.after-take'),
  },
  {
    id: 'F5',
    fault: 'crash after the publish, before the mark',
    shown: crash('relay.after-send', 'relay.after-dispatch', 'relay.after-fenced-send'),
  },
  {
    id: 'F6',
    fault: 'crash in a batch of which a part is acknowledged',
    shown: [
      test(
        'src/transports/kafka/produce-log.test.ts',
        'is told for each partition by itself, also in an answer that the library makes an error of',
      ),
      test('src/testing/conformance/outbox-cases.ts', 'a row is removed by its three names, and no other is'),
      ...prove('kill relay-1', 'kill relay-2'),
    ],
  },
  {
    id: 'F7',
    fault: 'outcome of a publish unknown',
    shown: [
      ...prove('lost produce relays-kafka'),
      test('src/testing/conformance/relay.ts', 'what has an unknown fate is sent again under its id'),
      test(
        'test/transports/kafka/dispatcher-faults.test.ts',
        'sends nothing twice while connections are reset',
      ),
      test('test/app/send.test.ts', 'throws what it does not know'),
    ],
  },
  {
    id: 'F8',
    fault: 'refused, too large, nowhere to go',
    shown: [
      test(
        'test/transports/kafka/publisher-refusals.test.ts',
        'lets a message that the broker finds too large',
      ),
      test('test/transports/kafka/publisher-refusals.test.ts', 'lets a topic that does not exist cost only'),
      test('test/transports/kafka/fenced-refusals.test.ts', 'tells which message the broker found too large'),
      test('test/transports/kafka/dispatcher.test.ts', 'drops what it cannot send, alone, and says why'),
    ],
  },
  {
    id: 'F9',
    fault: 'zombie relay: paused for longer than its lease',
    shown: [
      ...prove('pause relay-1', 'pause consumer-1'),
      test('test/relay/hand-over.test.ts', 'loses nothing and keeps order (R6)'),
      test('test/relay/hand-over.test.ts', 'keeps off what a zombie writes'),
      test(
        'test/stores/postgres/effects.test.ts',
        'of a zombie changes nothing, and neither does its dead letter',
      ),
    ],
  },
  {
    id: 'F10',
    fault: 'several relays at once, healthy',
    shown: [
      ...prove('none'),
      test('src/testing/conformance/relay.ts', 'several relays send each message once'),
      test(
        'test/relay/hand-over.test.ts',
        'copies nothing where a relay joins and partitions move under load',
      ),
    ],
  },
  {
    id: 'F11',
    fault: 'commits out of the order of their numbers',
    shown: [
      ...prove('none'),
      test(
        'src/testing/conformance/relay.ts',
        'a message that commits late is sent, and holds up nobody meanwhile',
      ),
      test('test/stores/postgres/reading.test.ts', 'comes before its successor on the same key'),
      test(
        'test/stores/postgres/order.test.ts',
        'holds where a low number commits late together with its successor',
      ),
      test('test/stores/postgres/reading.test.ts', 'is brought after a prepared transaction has ended'),
    ],
  },
  {
    id: 'F12',
    fault: 'rollback, rollback to a savepoint, failed deferred constraint',
    shown: [
      ...prove('none'),
      test('src/testing/conformance/outbox-cases.ts', 'what rolls back was never there'),
      test(
        'test/stores/postgres/transactions.test.ts',
        "throws the driver's error when COMMIT itself is refused",
      ),
      test('src/consumer/batch-transaction.test.ts', 'effect breaks a deferred constraint at commit'),
    ],
  },
  {
    id: 'F13',
    fault: 'half-open connection of LISTEN',
    shown: [
      ...prove('half open consumers-postgres', 'half open relays-postgres'),
      test(
        'test/app/waking.test.ts',
        'cost no more than polling where the listening connection is half-open',
      ),
    ],
  },
  { id: 'F14', fault: 'CDC relay killed between publish and confirmed position', shown: [] },
  { id: 'F15', fault: 'replication slot lost, invalidated or lagging', shown: [] },
  {
    id: 'F16',
    fault: 'SIGTERM under load, and a second one',
    shown: [
      ...prove('restart relay-1', 'restart consumer-1', 'restart writer'),
      test('test/relay/hand-over.test.ts', 'copies nothing where relays are told to stop under load'),
      test(
        'test/relay/hand-over.test.ts',
        'sends nothing again that was under way when its relay was told to stop',
      ),
      test('test/relay/hand-over.test.ts', 'ends at once at a second SIGTERM, and another relay goes on'),
      test('test/relay/kafka.test.ts', 'where they are told to stop under load'),
      test('test/app/run.test.ts', 'lets the handler under way end at SIGTERM'),
      test(
        'test/transports/kafka/rebalance.test.ts',
        'lets what is in hand be settled before its streams are given to a member that joins',
      ),
    ],
  },
  {
    id: 'F17',
    fault: 'poison message',
    shown: [
      test('test/app/poison.test.ts', 'a blocked key waits over restarts while other keys go on'),
      test('test/app/poison.test.ts', 'a skipped head leaves its key going on'),
      test('src/testing/conformance/relay.ts', 'what is rejected for good becomes a dead letter'),
      test(
        'src/testing/conformance/relay.ts',
        'what is refused again and again is given up after its attempts',
      ),
      ...crash('relay.before-block', 'relay.after-block'),
    ],
  },
]
