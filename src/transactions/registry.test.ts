import { describe, expect, it } from 'vitest'
import type { SqlExecutor } from '../ports/sql.ts'
import type { TransactionRunner } from '../ports/transaction-runner.ts'
import { bindTransactions, executorFor } from './registry.ts'

class FakeClient {
  status: 'I' | 'T' | 'E' | null = 'T'
  readonly queries: unknown[] = []
  failure: Error | undefined

  async query(query: unknown): Promise<{ rows: { n: number }[] }> {
    this.queries.push(query)
    if (this.failure !== undefined) throw this.failure
    return { rows: [{ n: 1 }] }
  }

  getTransactionStatus(): 'I' | 'T' | 'E' | null {
    return this.status
  }
}

const executor: SqlExecutor = { execute: async () => [], transactionState: () => 'active' }
const refusal = (text: string): unknown =>
  expect.objectContaining({ code: 'WB_NO_TRANSACTION', message: expect.stringContaining(text) })

describe('a pg client', () => {
  it('runs statements by name, and gives their rows', async () => {
    const client = new FakeClient()
    const rows = await executorFor(client).execute({ name: 'waybill-x', text: 'select $1' }, [1])
    expect(rows).toEqual([{ n: 1 }])
    expect(client.queries).toEqual([{ name: 'waybill-x', text: 'select $1', values: [1] }])
  })

  it('runs them without names once its session was found to be reset, as by DISCARD ALL', async () => {
    const client = new FakeClient()
    const { execute } = executorFor(client)
    client.failure = Object.assign(new Error('division by zero'), { code: '22012' })
    await expect(execute({ name: 'waybill-x', text: 'select 1' }, [])).rejects.toBe(client.failure)
    client.failure = Object.assign(new Error('prepared statement does not exist'), { code: '26000' })
    await expect(execute({ name: 'waybill-x', text: 'select 1' }, [])).rejects.toBe(client.failure)
    client.failure = undefined
    await execute({ name: 'waybill-x', text: 'select 1' }, [])
    expect(client.queries.map((query) => (query as { name: string }).name)).toEqual([
      ...['waybill-x', 'waybill-x', ''],
    ])
  })

  it('says what its server said last', () => {
    const client = new FakeClient()
    const states = (['T', 'E', 'I', null] as const).map((status) => {
      client.status = status
      return executorFor(client).transactionState()
    })
    expect(states).toEqual(['active', 'failed', 'none', 'none'])
  })

  it('is the same executor each time', () => {
    const client = new FakeClient()
    expect(executorFor(client)).toBe(executorFor(client))
  })
})

describe('a handle that is no transaction', () => {
  it('is refused where it is a pool, saying to use a client', () => {
    const pool = { query: () => {}, connect: () => {}, totalCount: 0 }
    expect(() => executorFor(pool)).toThrow(refusal('pool.connect()'))
  })

  it('is refused where it is a pg client too old to tell', () => {
    expect(() => executorFor({ query: () => {}, connection: {} })).toThrow(refusal('update pg to 8.21'))
  })

  it.each([[undefined], [null], ['tx'], [{}], [{ query: 1 }], [{ query: () => {} }], [() => {}]])(
    'is refused where it is %o, saying what was expected',
    (handle) => {
      expect(() => executorFor(handle)).toThrow(refusal('expected a SqlExecutor, or a pg client'))
    },
  )
})

describe('a transaction of Waybill’s own', () => {
  it('is taken as an executor, or as what holds one', () => {
    expect(executorFor(executor)).toBe(executor)
    expect(executorFor({ handle: {}, executor })).toBe(executor)
  })

  it('is known by its client while it lasts, though the client still says idle, and refused after', async () => {
    const client = new FakeClient()
    client.status = 'I'
    const runner: TransactionRunner = { run: (_options, work) => work({ handle: client, executor }) }
    const bound = bindTransactions(runner)
    await bound.run({ idleTimeoutMs: 1 }, async ({ handle }) => {
      expect(executorFor(handle)).toBe(executor)
    })
    expect(executorFor(client).transactionState()).toBe('none')
    const failed = bound.run({ idleTimeoutMs: 1 }, async () => {
      throw new Error('no')
    })
    await expect(failed).rejects.toThrow('no')
    expect(executorFor(client)).not.toBe(executor)
  })

  it('needs no client that can be known', async () => {
    const runner: TransactionRunner = { run: (_options, work) => work({ handle: undefined, executor }) }
    expect(await bindTransactions(runner).run({ idleTimeoutMs: 1 }, async () => 7)).toBe(7)
  })
})
