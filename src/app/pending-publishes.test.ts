import { describe, expect, it } from 'vitest'
import { CommitOutcomeUnknownError } from '../kernel/errors.ts'
import type { StartedPublish } from '../outbox/publish.ts'
import type { TransactionRunner } from '../ports/transaction-runner.ts'
import { PendingPublishes } from './pending-publishes.ts'

const handle = {}
const executor = { execute: async () => [], transactionState: () => 'active' as const }
const sent: StartedPublish = {
  transaction: handle,
  channel: 'orders',
  issued: Promise.resolve(true),
  done: Promise.resolve('id'),
}

function scene(end: () => void = () => {}): {
  told: string[]
  pending: PendingPublishes
  runner: TransactionRunner
} {
  const told: string[] = []
  const pending = new PendingPublishes({
    committed: (channel) => told.push(`committed ${channel}`),
    unknown: (channel) => told.push(`unknown ${channel}`),
  })
  const runner = pending.watch({
    run: async (_, work) => {
      const result = await work({ handle, executor })
      expect(told).toEqual([])
      end()
      return result
    },
  })
  return { told, pending, runner }
}

describe('transactions of Waybill’s own', () => {
  it('tell what was published in them after the commit, once for each channel', async () => {
    const { told, pending, runner } = scene()
    await runner.run({ idleTimeoutMs: 1 }, async () => {
      expect(pending.isWatched(handle)).toBe(true)
      for (const channel of ['orders', 'views', 'orders']) pending.note({ ...sent, channel })
    })
    expect(told).toEqual(['committed orders', 'committed views'])
    expect(pending.isWatched(handle)).toBe(false)
  })

  it('tell nothing where nothing was published, or where they rolled back', async () => {
    const { told, pending, runner } = scene()
    await runner.run({ idleTimeoutMs: 1 }, async () => {})
    const failing = runner.run({ idleTimeoutMs: 1 }, async () => {
      pending.note(sent)
      throw new Error('no')
    })
    await expect(failing).rejects.toThrow('no')
    expect(told).toEqual([])
  })

  it('say so where nobody knows whether they have committed', async () => {
    const { told, pending, runner } = scene(() => {
      throw new CommitOutcomeUnknownError('7', new Error('lost'))
    })
    const run = runner.run({ idleTimeoutMs: 1 }, async () => pending.note(sent))
    await expect(run).rejects.toBeInstanceOf(CommitOutcomeUnknownError)
    expect(told).toEqual(['unknown orders'])
  })
})
