import { describe, expect, it } from 'vitest'
import { Connection } from './connection.ts'
import type { PgConnection, PgQuery, PgResult } from './driver.ts'

/** Notes its statements, and answers each when the test has let some other things happen. */
class SlowClient {
  readonly sent: string[] = []

  async connect(): Promise<void> {}

  on(): void {}

  async query(query: string | PgQuery): Promise<PgResult> {
    const text = typeof query === 'string' ? query : query.text
    this.sent.push(text.split(' ')[0]!)
    await new Promise((resolve) => setImmediate(resolve))
    return { rows: [], rowCount: 0, command: '' }
  }
}

function connect(isShared: boolean): { readonly connection: Connection; readonly sent: string[] } {
  const client = new SlowClient()
  const connection = new Connection({
    create: async () => client as unknown as PgConnection,
    settings: {},
    setUp: 'setup',
    pooling: { judge: async () => isShared },
    timeoutMs: 10_000,
  })
  return { connection, sent: client.sent }
}

describe.each([
  ['of its own', false],
  ['that a pooler shares', true],
])('a transaction on a session %s', (_, isShared) => {
  it('has nothing between its statements, whatever was asked before it or meanwhile', async () => {
    const { connection, sent } = connect(isShared)
    const ask = (text: string): Promise<unknown> => connection.query({ text }, 'ask')
    await ask('warm')
    sent.length = 0
    const before = [ask('one'), ask('two'), ask('three')]
    const transaction = connection.transaction('act', async (run) => {
      await run({ text: 'first' })
      await run({ text: 'second' })
    })
    await Promise.all([...before, transaction, ask('after')])
    const own = sent.slice(sent.indexOf('first') - 1, sent.indexOf('second') + 2)
    expect(own).toEqual(['begin', 'first', 'second', 'commit'])
    expect(sent.filter((text) => !['begin', 'commit'].includes(text))).toEqual([
      ...['one', 'two', 'three'],
      ...['first', 'second', 'after'],
    ])
  })
})

describe('closing', () => {
  it('does not wait for a server that does not answer, and ends what is connected later', async () => {
    const answered = Promise.withResolvers<void>()
    const ended = Promise.withResolvers<void>()
    const client = {
      connect: () => answered.promise,
      on: () => {},
      query: async () => ({ rows: [], rowCount: 0, command: '' }),
      end: async () => ended.resolve(),
      connection: { stream: { destroy: () => ended.resolve() } },
    }
    const connection = new Connection({
      create: async () => client as unknown as PgConnection,
      settings: {},
      setUp: 'setup',
      pooling: { judge: async () => false },
      timeoutMs: 60_000,
    })
    const asked = connection.query({ text: 'select' }, 'ask').catch((error: unknown) => error)
    // Once it is at the server.
    await new Promise((resolve) => setImmediate(resolve))
    await connection.close()
    answered.resolve()
    await ended.promise
    await asked
  })
})
