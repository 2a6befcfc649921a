import { type Group, ratio } from '../measure.ts'

/** A group of rows whose contenders are run in turn. */
export interface Plan extends Pick<Group, 'name' | 'rows' | 'warmsUp'> {
  /** By their names in relay-worker.ts; each has a thread and a database of its own. */
  readonly contenders: readonly string[]
  /** Seconds that five rounds may take; what takes longer stops with the rounds it has. */
  readonly seconds: number
  /** @default as many as asked for */
  readonly mostRounds?: number
  /** Rounds in the place of each one asked for, where a run is so much shorter. @default 1 */
  readonly roundsForOne?: number
  readonly needs?: 'kafka' | 'peers'
}

/** Every row there is, with its bar and what we aim at. */
export const plans: readonly Plan[] = [
  {
    name: 'drain',
    contenders: ['relay', 'its statements in a loop', 'bare loop', 'pgbench'],
    rows: [
      ratio(
        'drain / bare pg loop, the same SQL, batch 1000',
        'relay',
        'its statements in a loop',
        0.85,
        0.95,
      ),
      ratio('drain / bare pg loop, delete returning, batch 1000', 'relay', 'bare loop', 0.85, 0.95),
      ratio('drain / pgbench in C, delete returning', 'relay', 'pgbench', 0.6, 0.8),
    ],
    seconds: 65,
  },
  {
    name: 'publish',
    contenders: ['with publish', 'alone', 'by hand', 'four round trips'],
    rows: [
      ratio('transaction with publish, pipelined / without', 'with publish', 'alone', 0.75, 0.85),
      ratio(
        'transaction with publish, pipelined / four awaited round trips',
        'with publish',
        'four round trips',
        1.3,
        1.6,
      ),
      ratio(
        'transaction with a row of an outbox by hand, pipelined / without',
        'by hand',
        'alone',
        null,
        null,
      ),
    ],
    seconds: 45,
    roundsForOne: 3,
  },
  {
    name: 'waking',
    contenders: ['wake-ups on', 'wake-ups off'],
    rows: [ratio('8 writers, wake-ups on / off', 'wake-ups on', 'wake-ups off', 0.9, 0.97)],
    seconds: 40,
  },
  {
    name: 'snapshot',
    contenders: ['snapshot held', 'no snapshot'],
    rows: [
      ratio(
        'drain with a snapshot held, 100k dead rows / without',
        'snapshot held',
        'no snapshot',
        0.8,
        0.95,
      ),
    ],
    seconds: 70,
  },
  {
    name: 'order',
    contenders: ['unordered', '10k keys', '20 keys', 'one hot key'],
    rows: [
      ratio('ordered, 10k keys / unordered', '10k keys', 'unordered', 0.7, 0.9),
      ratio('ordered, 20 keys / unordered', '20 keys', 'unordered', 0.7, 0.9),
      ratio('one hot key / 10k keys', 'one hot key', '10k keys', 0.5, 0.8),
    ],
    seconds: 80,
  },
  {
    name: 'latency',
    contenders: ['to the handler', 'to the commit'],
    rows: [
      {
        name: 'idle, COMMIT sent to handler, local / COMMIT alone, p50',
        of: { contender: 'to the handler', reading: 'p50' },
        against: { contender: 'to the commit', reading: 'p50' },
        unit: 'ratio',
        bar: 2.5,
        aim: 1.7,
        better: 'lower',
      },
    ],
    seconds: 45,
  },
  {
    name: 'inbox',
    contenders: ['batch handler', 'handler of one', 'unnest … on conflict'],
    rows: [
      ratio(
        'inbox, batch handler / raw unnest … on conflict',
        'batch handler',
        'unnest … on conflict',
        0.8,
        0.95,
      ),
      ratio('inbox, handler of one message / the same', 'handler of one', 'unnest … on conflict', null, null),
    ],
    seconds: 50,
  },
  {
    name: 'kafka',
    contenders: ['relay into Kafka', 'client alone'],
    rows: [
      ratio('relay into Kafka, acks=all / the client alone', 'relay into Kafka', 'client alone', 0.7, 0.9),
    ],
    seconds: 60,
    needs: 'kafka',
  },
  {
    name: 'wal',
    contenders: ['relay, its WAL'],
    rows: [
      {
        name: 'WAL per message after its insert',
        of: { contender: 'relay, its WAL', reading: 'bytes a message' },
        unit: 'B',
        bar: 200,
        aim: 135,
        better: 'lower',
      },
      {
        name: 'the same with the vacuum of the dead rows',
        of: { contender: 'relay, its WAL', reading: 'with vacuum' },
        unit: 'B',
        bar: null,
        aim: null,
        better: 'lower',
      },
    ],
    seconds: 15,
    mostRounds: 3,
  },
  {
    name: 'backlog',
    contenders: ['relay, 1M rows'],
    rows: [
      {
        name: 'backlog of 1M rows and keys, last 100k drained / first',
        of: { contender: 'relay, 1M rows', reading: 'last to first' },
        unit: 'ratio',
        bar: 0.8,
        aim: 0.95,
      },
      {
        name: 'memory of the relay meanwhile, highest',
        of: { contender: 'relay, 1M rows', reading: 'memory, MB', by: 'highest' },
        unit: 'MB',
        bar: 150,
        aim: null,
        better: 'lower',
      },
      {
        name: 'memory in the last third / in the first, medians',
        of: { contender: 'relay, 1M rows', reading: 'last third of memory to first' },
        unit: 'ratio',
        bar: 1.1,
        aim: null,
        better: 'lower',
      },
    ],
    seconds: 90,
    mostRounds: 3,
    // Each run is a process of its own that warms up by itself.
    warmsUp: false,
  },
  {
    name: 'peers',
    contenders: ['relay, 100k rows', 'pg-boss', 'graphile-worker'],
    rows: [
      ratio('drain / pg-boss', 'relay, 100k rows', 'pg-boss', 4, null),
      ratio('drain / graphile-worker', 'relay, 100k rows', 'graphile-worker', 2.5, null),
    ],
    seconds: 70,
    mostRounds: 3,
    needs: 'peers',
  },
  {
    name: 'slow peer',
    contenders: ['relay, 5k rows', 'pg-transactional-outbox'],
    rows: [ratio('drain / pg-transactional-outbox', 'relay, 5k rows', 'pg-transactional-outbox', 40, null)],
    seconds: 30,
    mostRounds: 3,
    needs: 'peers',
  },
]
