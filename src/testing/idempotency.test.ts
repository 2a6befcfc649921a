import { describe, expect, it } from 'vitest'
import { checkIdempotency, type CheckIdempotencyOptions, type IdempotencyReport } from './idempotency.ts'
import { UnjudgedAttempt, type IdempotencyAttempt } from './idempotency-modes.ts'
import type { StateRow } from './idempotency-difference.ts'

interface Transaction {
  /** Committed rows, as they stand at the moment. */
  seen(): readonly StateRow[]
  insert(row: StateRow): void
}

interface Parts extends Partial<CheckIdempotencyOptions> {
  /** Does not ask before it commits. */
  readonly isHasty?: boolean
}

/** A table without constraints, and read committed transactions on it. */
async function check(
  handler: (tx: Transaction, attempt: IdempotencyAttempt) => void | Promise<void>,
  { isHasty = false, ...parts }: Parts = {},
): Promise<IdempotencyReport & { readonly attempts: readonly string[] }> {
  const attempts: string[] = []
  let table: StateRow[] = []
  const report = await checkIdempotency({
    reset: async () => {
      table = []
    },
    run: async (attempt) => {
      attempts.push(`${attempt.mode} ${attempt.number}${attempt.isNewProcess ? ' new' : ''}`)
      const written: StateRow[] = []
      await handler({ seen: () => table, insert: (row) => written.push(row) }, attempt)
      if (!isHasty) await attempt.beforeCommit()
      table.push(...written)
    },
    snapshot: async () => ({ effects: [...table] }),
    ...parts,
  })
  return { ...report, attempts }
}

const row = { order: 7 }
const lookFirst = (tx: Transaction): void => {
  if (tx.seen().length === 0) tx.insert(row)
}

function foundIn({ modes }: IdempotencyReport): readonly string[] {
  return modes
    .filter(({ differences, failure }) => differences.length > 0 || failure !== null)
    .map(({ mode }) => mode)
}

describe('the check of idempotency', () => {
  it('finds a plain insert in every mode that commits twice', async () => {
    const report = await check((tx) => tx.insert(row))
    expect(report.verdict).toBe('not idempotent')
    expect(foundIn(report)).toEqual(['twice', 'together', 'unsettled'])
    expect(report.reasons[0]).toBe('run twice, it left something else than run once: effects')
  })

  it('finds a check without a constraint only where both meet before their commits', async () => {
    const report = await check(lookFirst)
    expect(report.verdict).toBe('not idempotent')
    expect(foundIn(report)).toEqual(['together'])
    expect(report.modes.find(({ mode }) => mode === 'together')).toMatchObject({ rounds: 1, met: 1 })
  })

  it('is content with an effect that happens once, and says in which processes it ran', async () => {
    let isHeld = false
    const report = await check(
      async (tx, { mode, number }) => {
        if (mode === 'together' && number === 2) {
          // The other one holds the lock to its commit.
          isHeld = true
          while (tx.seen().length === 0) await new Promise((resolve) => setImmediate(resolve))
          isHeld = false
        }
        lookFirst(tx)
      },
      // Longer than any test may take: only the answer lets the first one go on.
      { isBlocked: async (number) => number === 2 && isHeld, patienceMs: 3_600_000 },
    )
    expect(report).toMatchObject({ verdict: 'idempotent', reasons: [] })
    expect(report.modes.find(({ mode }) => mode === 'together')).toMatchObject({ rounds: 2, met: 0 })
    expect(report.attempts).toEqual([
      'once 1 new',
      'once-again 1 new',
      ...['twice 1 new', 'twice 2'],
      ...['together 1 new', 'together 2', 'together 1 new', 'together 2'],
      ...['crash 1 new', 'crash 2 new'],
      ...['unsettled 1 new', 'unsettled 2 new'],
    ])
  })

  it('lets the first go on after its patience, where nothing says why the other does not come', async () => {
    const report = await check(
      async (tx, { mode, number }) => {
        while (mode === 'together' && number === 2 && tx.seen().length === 0)
          await new Promise((resolve) => setImmediate(resolve))
        lookFirst(tx)
      },
      { patienceMs: 1 },
    )
    expect(report.verdict).toBe('idempotent')
  })

  it('finds a repeat that fails, though the tables do not show it', async () => {
    const report = await check((tx) => {
      if (tx.seen().length > 0) throw new Error('seen before')
      tx.insert(row)
    })
    expect(report.verdict).toBe('not idempotent')
    expect(report.reasons).toContain('run twice, the repeat failed: seen before')
  })

  it('tries one again that failed because it met the other, as a consumer does', async () => {
    const report = await check((tx, { mode, number }) => {
      if (mode === 'together' && number === 2) throw new Error('deadlock detected')
      lookFirst(tx)
    })
    expect(report.verdict).toBe('idempotent')
    expect(report.attempts).toContain('together 3')
  })

  it('compares what a crash left with what one run leaves', async () => {
    const report = await check((tx, { mode, number }) => {
      if (mode !== 'crash' || number === 1) lookFirst(tx)
    })
    expect(foundIn(report)).toContain('crash')
  })

  it.each<[string, Parameters<typeof check>, string]>([
    ['does nothing', [() => {}], 'changed nothing in the tables that are compared'],
    [
      'fails at once',
      [
        () => {
          throw new Error('no luck')
        },
      ],
      'run once, the handler failed: no luck',
    ],
    [
      'differs by itself',
      [(tx, { mode }) => tx.insert({ mode })],
      'two single runs from the same state differ: effects',
    ],
    [
      'could not be judged when it came again',
      [
        (tx, { mode, number }) => {
          if (mode === 'unsettled' && number === 2) throw new UnjudgedAttempt('it wrote elsewhere')
          if (mode !== 'together' || number === 1) lookFirst(tx)
        },
      ],
      'run again in a new process after a lost settlement: it wrote elsewhere',
    ],
    [
      'commits without asking',
      [(tx, { number }) => (number === 1 ? tx.insert(row) : undefined), { isHasty: true }],
      'run again after a crash before its commit: the attempt committed without asking beforeCommit()',
    ],
    [
      'commits without asking, so that the two need not have met',
      [(tx, { number }) => (number === 1 ? tx.insert(row) : undefined), { isHasty: true }],
      'run twice at the same time: the attempt committed without asking beforeCommit()',
    ],
  ])('says unknown of one that %s', async (_what, given, reason) => {
    const report = await check(...given)
    expect(report.verdict).toBe('unknown')
    expect(report.reasons.join('\n')).toContain(reason)
  })

  it('names the columns that differ by themselves', async () => {
    let runs = 0
    const report = await check(
      (tx) => {
        runs += 1
        tx.insert({ id: 1, at: runs })
      },
      { keys: { effects: ['id'] } },
    )
    expect(report.reasons.join()).toContain('ignore what differs by itself (effects.at)')
  })

  it('is vacuous where nothing changed, and not where only what may differ did', async () => {
    expect((await check(() => {})).isVacuous).toBe(true)
    let runs = 0
    const report = await check(
      (tx) => {
        if (tx.seen().length === 0) tx.insert({ at: ++runs })
      },
      { ignore: ['effects.at'], patienceMs: 1 },
    )
    expect(report.isVacuous).toBe(false)
  })

  it('ends when it is told to, and calls that no failure of the handler', async () => {
    const end = new AbortController()
    const checking = check(
      (tx, { mode }) => {
        if (mode === 'twice') end.abort()
        lookFirst(tx)
      },
      { signal: end.signal },
    )
    await expect(checking).rejects.toMatchObject({ code: 'WB_ABORTED' })
  })
})
