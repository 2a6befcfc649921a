import { ratio, type Row } from '../measure.ts'

/** A group of rows whose contenders are run in turn. */
export interface Plan {
  readonly name: string
  /** By their names in relay-worker.ts; each has a thread and a database of its own. */
  readonly contenders: readonly string[]
  readonly rows: readonly Row[]
  /** Seconds that five rounds may take; what takes longer stops with the rounds it has. */
  readonly seconds: number
  /** @default as many as asked for */
  readonly mostRounds?: number
  readonly needs?: 'kafka' | 'peers'
}

/** Every row there is, with its bar and what we aim at. */
export const plans: readonly Plan[] = [
  {
    name: 'drain',
    contenders: ['relay', 'bare loop', 'pgbench'],
    rows: [
      ratio('drain / bare pg loop, batch 1000', 'relay', 'bare loop', 0.85, 0.95),
      ratio('drain / pgbench in C, delete returning', 'relay', 'pgbench', 0.6, 0.8),
    ],
    seconds: 90,
  },
  {
    name: 'publish',
    contenders: ['with publish', 'alone', 'four round trips'],
    rows: [
      ratio('transaction with publish, pipelined / without', 'with publish', 'alone', 0.75, 0.85),
      ratio(
        'transaction with publish, pipelined / four awaited round trips',
        'with publish',
        'four round trips',
        1.3,
        1.6,
      ),
    ],
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
    seconds: 90,
  },
  {
    name: 'order',
    contenders: ['unordered', '10k keys', 'one hot key'],
    rows: [
      ratio('ordered, 10k keys / unordered', '10k keys', 'unordered', 0.7, 0.9),
      ratio('one hot key / 10k keys', 'one hot key', '10k keys', 0.5, 0.8),
    ],
    seconds: 90,
  },
]
