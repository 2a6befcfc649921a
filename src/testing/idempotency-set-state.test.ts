import { describe, expect, it } from 'vitest'
import { checkSetState, type SetStateReport } from './idempotency-set-state.ts'

interface Row {
  status: string
  version: number
}

const messages = { older: { status: 'paid', version: 1 }, newer: { status: 'shipped', version: 2 } } as const

/** A table of one row, and a handler that sets it. */
async function check(
  handler: (row: Row, message: Row) => void,
  options: { readonly claimsVersion?: boolean; readonly messages?: typeof messages } = {},
): Promise<SetStateReport> {
  let row: Row = { status: 'new', version: 0 }
  return await checkSetState({
    ...(options.claimsVersion === undefined ? {} : { claimsVersion: options.claimsVersion }),
    reset: async () => {
      row = { status: 'new', version: 0 }
    },
    run: async (message) => {
      handler(row, (options.messages ?? messages)[message])
    },
    snapshot: async () => ({ orders: [{ ...row }] }),
  })
}

describe('the check of a handler that sets a state', () => {
  it('is content with one that lets only a newer version through', async () => {
    const report = await check((row, message) => {
      if (message.version > row.version) Object.assign(row, message)
    })
    expect(report).toMatchObject({ verdict: 'idempotent', reasons: [] })
    expect(report.sequences.map((each) => each.messages.join())).toEqual([
      'older,older,newer',
      'older,newer,newer',
      'older,newer,older',
      'newer,older',
    ])
  })

  it('finds an older message undoing a newer one', async () => {
    const report = await check((row, message) => Object.assign(row, message))
    expect(report.verdict).toBe('not idempotent')
    expect(report.reasons).toEqual([
      'run as older, newer, older, it left something else than run as older, newer: orders',
      'run as newer, older, it left something else than run as older, newer: orders',
    ])
  })

  it('asks only for repeats of one that claims no version', async () => {
    const report = await check((row, message) => Object.assign(row, message), { claimsVersion: false })
    expect(report.verdict).toBe('idempotent')
    expect(report.sequences).toHaveLength(2)
  })

  it('finds one that counts', async () => {
    const report = await check(
      (row, { status }) => {
        row.status = status
        row.version += 1
      },
      { claimsVersion: false },
    )
    expect(report.verdict).toBe('not idempotent')
  })

  it('finds one that throws at what is too old', async () => {
    const report = await check((row, message) => {
      if (message.version <= row.version) throw new Error('too old')
      Object.assign(row, message)
    })
    expect(report.verdict).toBe('not idempotent')
    expect(report.reasons).toContain('run as newer, older, the handler failed: too old')
  })

  it.each([
    ['does nothing', () => {}, 'the older message changed nothing'],
    [
      'sets the same for both',
      (row: Row) => {
        row.status = 'seen'
      },
      'after the newer message everything stands as after the older one',
    ],
    [
      'fails in order',
      () => {
        throw new Error('no luck')
      },
      'run in order, the handler failed: no luck',
    ],
  ])('says unknown of one that %s', async (_what, handler, reason) => {
    const report = await check(handler)
    expect(report.verdict).toBe('unknown')
    expect(report.reasons[0]).toContain(reason)
  })
})
