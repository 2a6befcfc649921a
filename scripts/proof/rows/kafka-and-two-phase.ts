import { type Coverage, test } from '../shown.ts'

/** Two-phase commit (2d), and what is Kafka’s own (2e). */
export const otherRows: readonly Coverage[] = [
  ...[
    'coordinator crash before any prepare',
    'after some prepares, no decision logged',
    'after the decision, before any commit',
    'after some commits',
    'participant killed after PREPARE',
    'participant votes no, or too late',
    'reply to a commit lost',
    'two coordinators recover at once',
    'coordinator never returns',
    'orphan prepared transaction with a CDC relay',
    'one side resolved by hand',
  ].map((fault, i): Coverage => ({ id: `T${i + 1}`, fault, shown: [] })),
  {
    id: 'K1',
    fault: 'second producer with one transactional id',
    shown: [
      test(
        'src/testing/conformance/transaction-cases.ts',
        'who was taken over is fenced, and nothing of its batch is seen',
      ),
      test(
        'test/transports/kafka/fenced-faults.test.ts',
        'does not take its partition back where it was taken over',
      ),
    ],
  },
  {
    id: 'K2',
    fault: 'indefinite error in a transaction',
    shown: [
      test(
        'test/transports/kafka/fenced-faults.test.ts',
        'says "unknown" where its commit is lost on the way',
      ),
      test(
        'test/transports/kafka/transform-faults.test.ts',
        'goes on with a new producer where the broker has given its own up',
      ),
    ],
  },
  {
    id: 'K3',
    fault: 'rebalance between poll and commit of a transaction',
    shown: [
      test(
        'test/transports/kafka/transform-faults.test.ts',
        'refuses the positions of a member that the group has given up',
      ),
      test(
        'src/testing/conformance/transaction-cases.ts',
        'a commit of an assignment that is over is refused, with its outputs',
      ),
    ],
  },
  {
    id: 'K4',
    fault: 'abort',
    shown: [
      test(
        'test/transports/kafka/read-committed.test.ts',
        'leaves out several aborts of one producer in one fetch',
      ),
      test('test/transports/kafka/transform-faults.test.ts', 'is lost on the way, and does it again'),
      test(
        'src/transports/kafka/committed.property.test.ts',
        'delivers the committed records, all and in order',
      ),
    ],
  },
  {
    id: 'K5',
    fault: 'commits of positions by themselves',
    shown: [
      test(
        'src/testing/conformance/subscription-cases.ts',
        'what was not settled comes to the next member of a consumer',
      ),
    ],
  },
]
