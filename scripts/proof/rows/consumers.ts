import { type Coverage, crash, prove, test } from '../shown.ts'

/** Consumer and inbox (2c). */
export const consumerRows: readonly Coverage[] = [
  {
    id: 'F30',
    fault: 'consumer killed before its handler',
    shown: crash('consumer.after-receive', 'consumer.after-admit'),
  },
  {
    id: 'F31',
    fault: 'consumer killed in its handler, transaction open',
    shown: [
      ...crash('consumer.after-handler', 'consumer.before-commit'),
      ...prove('kill consumer-1', 'kill consumer-2'),
    ],
  },
  {
    id: 'F32',
    fault: 'consumer killed after its commit, before the settlement',
    shown: crash('consumer.after-commit', 'consumer.before-settle', 'consumer.after-settle'),
  },
  {
    id: 'F33',
    fault: 'zombie consumer',
    shown: [
      ...prove('pause consumer-1'),
      test('test/transports/kafka/rebalance.test.ts', 'gives up its streams when the broker took them away'),
      test(
        'test/transports/kafka/settle.test.ts',
        'is refused of a member that was stopped for longer than its session',
      ),
      test('test/faults/servers.test.ts', 'of two consumers one stopped past its lease and continued'),
    ],
  },
  {
    id: 'F34',
    fault: 'handler with effects outside of its transaction',
    shown: [],
    outside: 'docs/guarantees.md says so; a handler gets an `idempotencyKey` to hand on',
  },
  {
    id: 'F35',
    fault: 'noted in the inbox, and the handler rolls back',
    shown: [
      test('test/crash/mutants.test.ts', 'exactly-once whose note of the message is in another transaction'),
      test('src/testing/conformance/consuming-cases.ts', 'an inbox forgets what rolls back with its effect'),
    ],
  },
  {
    id: 'F36',
    fault: 'handed over again when the inbox has forgotten it',
    shown: [
      test('test/cli/explain.test.ts', 'judges by the settings of flags and variables'),
      test('src/guarantees/compile.test.ts', 'warns where what holds does not hold for as long'),
      test('test/stores/postgres/purge.test.ts', 'keeps what is still to be delivered: to others, or again'),
    ],
  },
  {
    id: 'F37',
    fault: 'one id from two producers, or for two consumers',
    shown: [
      test('test/app/kafka-messages.test.ts', 'one id from two producers is one message'),
      test('test/app/local.test.ts', 'each get every message once and in order'),
      test('test/stores/postgres/inbox.test.ts', 'admits each id to one'),
      test('test/prove/mutants.test.ts', 'exactly-once whose inbox knows no message again'),
    ],
  },
  {
    id: 'F38',
    fault: 'handler that throws, some times or always',
    shown: [
      test('test/app/local.test.ts', 'let one bad message cost only itself'),
      test('src/consumer/broker-consumer.test.ts', 'makes a dead letter of what fails too often'),
      test('src/consumer/settle-first.test.ts', 'never runs one twice'),
    ],
  },
  {
    id: 'F39',
    fault: 'dead letter that cannot be written',
    shown: [test('src/consumer/broker-consumer.test.ts', 'does not settle what it could not bury')],
  },
  {
    id: 'F40',
    fault: 'dead letter brought back twice',
    shown: [
      test('test/stores/postgres/dead-letters.test.ts', 'does nothing the second time (F40)'),
      test('test/stores/postgres/replays.test.ts', 'is asked for once, however often somebody presses (F40)'),
    ],
  },
  {
    id: 'F41',
    fault: 'unknown version, rolling deployment',
    shown: [
      test('test/app/consume.test.ts', 'that a handler does not know is kept as a dead letter'),
      test('test/stores/postgres/schema.test.ts', 'refuses a schema that says this code is too old'),
    ],
  },
]
