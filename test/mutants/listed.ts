/** Where a mutant is turned on, and what has to find it. */
export interface Sighting {
  /** A table of mutants, or the test itself. */
  readonly file: string
  /** Its name there. */
  readonly mutant: string
  /** An invariant, a kind of anomaly, a case of a conformance suite, or what is counted. */
  readonly finds: string
  /** Only in the full run, beside one that every run has. */
  readonly isFullOnly?: boolean
}

interface Listed {
  readonly name: string
  /** The fault that it fails under. */
  readonly fault: string
}

/** A mutant that is found, in the quickest scenario first; or the adapter without which there is nothing to break. */
export type ListedMutant = Listed &
  ({ readonly found: readonly [Sighting, ...Sighting[]] } | { readonly waitsFor: string })

const model = 'test/model/mutants.ts'
const crash = 'test/crash/mutants.test.ts'
const prove = 'test/prove/mutants.test.ts'
const store = 'test/stores/postgres/conformance-mutants.test.ts'
const relay = 'test/relay/conformance.test.ts'
const handOver = 'test/relay/hand-over.test.ts'
const clock = 'test/stores/postgres/clock.test.ts'

/** The flaws that a system of this kind is likely to have. One that nothing finds is a flaw of the suite. */
export const listedMutants: readonly ListedMutant[] = [
  {
    name: 'marks a message as sent before it is published',
    fault: 'F4',
    found: [
      {
        file: model,
        mutant: 'deletes a row before it has sent it',
        finds: 'every committed row is handed on',
      },
      {
        file: crash,
        mutant: 'at-least-once that deletes before the send',
        finds: 'lost',
        isFullOnly: true,
      },
    ],
  },
  {
    name: 'acknowledges before it commits',
    fault: 'F31',
    found: [
      { file: crash, mutant: 'at-least-once that settles before the effect', finds: 'lost' },
      {
        file: crash,
        mutant: 'at-least-once that tells the broker before it commits',
        finds: 'lost',
        isFullOnly: true,
      },
    ],
  },
  {
    name: 'notes what it has handled in another transaction',
    fault: 'F35',
    found: [
      {
        file: store,
        mutant: 'notes what was handled in a transaction of its own',
        finds: 'an inbox forgets what rolls back',
      },
      {
        file: crash,
        mutant: 'exactly-once whose note of the message is in another transaction',
        finds: 'lost',
        isFullOnly: true,
      },
    ],
  },
  {
    name: "notes it without the consumer's name",
    fault: 'F37',
    found: [
      {
        file: store,
        mutant: 'knows a message whichever consumer has handled it',
        finds: 'an inbox admits an id for one consumer',
      },
      {
        file: prove,
        mutant: 'exactly-once whose inbox knows no message again',
        finds: 'duplicated',
        isFullOnly: true,
      },
    ],
  },
  {
    name: 'reads from a cursor alone, without the transactions that were open',
    fault: 'F11',
    found: [
      {
        file: model,
        mutant: 'reads from a plain floor, without the list of open transactions',
        finds: 'no key is closed and no partition stuck for ever',
      },
      { file: store, mutant: 'goes by its floor alone', finds: 'what commits late' },
    ],
  },
  {
    name: 'renews leases and writes marks without an epoch',
    fault: 'F9',
    found: [
      {
        file: model,
        mutant: 'lets a zombie write lines, letters and takes',
        finds: 'a zombie writes nothing, but deletes what it saw confirmed',
      },
      {
        file: store,
        mutant: 'renews whatever a relay takes for its own',
        finds: 'partitions are leased to one relay',
      },
      { file: store, mutant: 'writes lines for a zombie', finds: 'a line holds its key' },
      {
        file: handOver,
        mutant: 'is found out where a zombie writes under an epoch that it does not have (F9)',
        finds: 'unfenced',
      },
    ],
  },
  {
    name: "ends leases by a process's clock",
    fault: 'F27',
    found: [{ file: clock, mutant: 'is found out where leases go by it', finds: 'early' }],
  },
  {
    name: 'publishes without a confirm',
    fault: 'F22',
    found: [
      {
        file: model,
        mutant: 'takes an unknown fate for a confirmation',
        finds: 'every committed row is handed on',
      },
      {
        file: relay,
        mutant: 'takes what is unknown for confirmed',
        finds: 'what has an unknown fate',
      },
      {
        file: prove,
        mutant: 'at-least-once that takes a message as sent before it is',
        finds: 'lost',
        isFullOnly: true,
      },
    ],
  },
  { name: 'publishes without `mandatory`', fault: 'F8', waitsFor: 'RabbitMQ' },
  {
    name: 'sends at most once again where it does not know',
    fault: 'F7',
    found: [
      {
        file: model,
        mutant: 'sends again what was sent once and not answered for',
        finds: 'at most once: nothing is sent twice',
      },
      {
        file: crash,
        mutant: 'at-most-once whose client sends again',
        finds: 'too-many-copies',
        isFullOnly: true,
      },
      {
        file: prove,
        mutant: 'at-most-once whose client sends again',
        finds: 'redelivered',
        isFullOnly: true,
      },
    ],
  },
  {
    name: 'marks a whole batch where a part of it was confirmed',
    fault: 'F6',
    found: [
      {
        file: model,
        mutant: 'takes a batch for confirmed where some of it is',
        finds: 'every committed row is handed on',
      },
      {
        file: relay,
        mutant: 'takes a batch for confirmed where some of it is',
        finds: 'what has an unknown fate',
      },
    ],
  },
  {
    name: "purges the inbox by a process's clock",
    fault: 'F27',
    found: [{ file: clock, mutant: 'is found out where the purge goes by it', finds: 'purged' }],
  },
  { name: 'aborts where the answer to a commit is lost', fault: 'T7', waitsFor: 'two-phase commit' },
  {
    name: 'makes a replication slot anew where it was lost',
    fault: 'F15',
    waitsFor: 'a relay that reads the log of the database',
  },
  {
    name: 'tries a poisoned message for ever',
    fault: 'F17',
    found: [
      {
        file: model,
        mutant: 'forgets how often a message has failed',
        finds: 'attempts never exceed their limit',
      },
      { file: relay, mutant: 'never gives up', finds: 'what is refused again and again' },
    ],
  },
  {
    name: 'ends at SIGTERM with what is under way',
    fault: 'F16',
    found: [
      { file: handOver, mutant: 'is found out where it ignores what is under way (F16)', finds: 'copies' },
    ],
  },
]
