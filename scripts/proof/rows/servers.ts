import { type Coverage, prove, test } from '../shown.ts'

/** Database, broker, network, clock (2b). */
export const serverRows: readonly Coverage[] = [
  {
    id: 'F18',
    fault: 'database killed, restarted, or paused',
    shown: [
      ...prove('kill postgres', 'restart postgres', 'pause postgres'),
      test('test/faults/servers.test.ts', 'PostgreSQL killed with SIGKILL and restarted under load'),
      test(
        'test/stores/postgres/connections.test.ts',
        'a server that is killed and started again is used again',
      ),
    ],
  },
  {
    id: 'F19',
    fault: 'backends terminated',
    shown: [
      ...prove('terminate backends'),
      test('test/stores/postgres/leases.test.ts', 'throws from every method, for good'),
    ],
  },
  {
    id: 'F20',
    fault: 'disk of the database full',
    shown: [
      ...prove('disk full postgres'),
      test('test/testing/full-disk.test.ts', 'refuses what it cannot keep, and nothing that it took is lost'),
    ],
  },
  {
    id: 'F21',
    fault: 'database restored to an older point: not promised, told',
    shown: [
      test('src/relay/mind/fencing.test.ts', 'compares anew where the store has another last transaction'),
      test(
        'test/stores/postgres/fenced.test.ts',
        'of two different transactions with one number the second is refused',
      ),
      test('src/consumer/checkpoint.test.ts', 'joins anew where the checkpoint went back'),
    ],
  },
  {
    id: 'F22',
    fault: 'broker killed, or restarted',
    shown: [
      ...prove('kill kafka', 'restart kafka'),
      test('test/faults/servers.test.ts', 'a broker killed with SIGKILL and restarted under load'),
      test('test/transports/kafka/publisher-restart.test.ts', 'loses nothing it confirmed under load'),
    ],
  },
  {
    id: 'F23',
    fault: 'broker paused',
    shown: [
      ...prove('pause kafka'),
      test('test/faults/servers.test.ts', 'a broker stopped for 10 s under load'),
    ],
  },
  {
    id: 'F24',
    fault: 'network: reset, black hole, half-open, latency, slices, cut in a frame, refused',
    shown: [
      ...[
        'writer-postgres',
        'relays-postgres',
        'relays-kafka',
        'consumers-postgres',
        'consumers-kafka',
      ].flatMap((link) =>
        prove(
          ...['reset', 'black hole', 'half open', 'latency', 'slices', 'cut', 'refuse'].map(
            (what) => `${what} ${link}`,
          ),
        ),
      ),
      test('test/stores/postgres/connections.test.ts', 'ends each call within its time-out'),
    ],
  },
  {
    id: 'F25',
    fault: 'asymmetric partition: the relay reaches the broker and not the database, and the reverse',
    shown: prove(
      // Each way from one kind of process to one server is cut alone: the other one stays.
      'black hole relays-postgres',
      'refuse relays-postgres',
      'half open relays-postgres',
      'black hole relays-kafka',
      'refuse relays-kafka',
      'half open relays-kafka',
    ),
  },
  {
    id: 'F26',
    fault: 'broker that duplicates, reorders, delays',
    shown: [
      test('test/app/chaos.test.ts', 'has each effect once, and keys keep their order'),
      test('test/app/chaos.test.ts', 'at-most-once runs no handler twice where the broker makes no copies'),
      test('test/app/chaos.test.ts', 'at-most-once, where it makes copies'),
      test('src/testing/memory/simulate.test.ts', 'shows losses, and no repeat, at most once'),
      test('test/app/kafka-messages.test.ts', 'a replay is passed by where the inbox has it'),
      test(
        'src/consumer/broker-consumer.test.ts',
        'settles a copy without handling it where the channel is exactly-once',
      ),
    ],
  },
  {
    id: 'F27',
    fault: 'clock of one process jumps by an hour',
    shown: [
      ...['consumer-1', 'relay-1', 'writer'].flatMap((name) =>
        prove(`clock +3600s ${name}`, `clock -3600s ${name}`),
      ),
      test(
        'test/stores/postgres/leases.test.ts',
        'takes over when the lease has ended by the clock of the database',
      ),
      test(
        'test/stores/postgres/purge.test.ts',
        'deletes what is past its window by the clock of the database',
      ),
      test('test/stores/postgres/clock.test.ts', 'takes no lease early, and its own end in time'),
      test('test/stores/postgres/clock.test.ts', 'purges nothing early'),
    ],
  },
  {
    id: 'F28',
    fault: 'broker blocked, slow consumer',
    shown: [
      test(
        'test/transports/kafka/back-pressure.test.ts',
        'stops fetching when its buffer is full, stays a member',
      ),
      test('src/relay/mind/keys.test.ts', 'drops what is too much, reads on past it'),
      test('test/app/backlog.test.ts', 'is refused while too many messages wait'),
    ],
  },
  {
    id: 'F29',
    fault: 'broker that loses what it acknowledged',
    shown: [],
    outside: 'the broker’s own settings decide it: replicas, `min.insync.replicas`, flushes to disk',
  },
]
