import { describe, expect, it } from 'vitest'
import { CommitOutcomeUnknownError, WaybillError } from '../../kernel/errors.ts'
import type { Connection } from './connection.ts'
import { operate } from './operation.ts'

/** Sessions that note their statements and throw at some. */
class Sessions {
  readonly statements: string[] = []
  lent = 0
  fail: (text: string) => Error | undefined = () => undefined

  lend = async <T>(work: (connection: Connection) => Promise<T>): Promise<T> => {
    this.lent += 1
    const query = async ({ text }: { text: string }): Promise<readonly unknown[]> => {
      this.statements.push(text.split(' ')[0]!)
      const error = this.fail(text)
      if (error !== undefined) throw error
      return []
    }
    const transaction = async <R>(_: string, inside: (run: typeof query) => Promise<R>): Promise<R> => {
      this.statements.push('begin')
      const result = await inside(query)
      await query({ text: 'commit' })
      return result
    }
    return await work({ query, transaction } as unknown as Connection)
  }

  run = (): Promise<string> =>
    operate(this.lend, '"waybill"', 'do something', async (connection) => {
      await connection.query({ text: 'work' }, 'work')
      return 'done'
    })
}

const conflict = new WaybillError('WB_STORE_CONFLICT', 'met another', { retryable: 'yes' })

describe("an operator's transaction", () => {
  it('holds registration and layout before it looks', async () => {
    const sessions = new Sessions()
    expect(await sessions.run()).toBe('done')
    expect(sessions.statements).toEqual(['begin', 'select', 'select', 'work', 'commit'])
  })

  it('is done again, in a new session, where it met another transaction; not for ever', async () => {
    const sessions = new Sessions()
    let conflicts = 2
    sessions.fail = (text) => (text === 'work' && conflicts-- > 0 ? conflict : undefined)
    expect(await sessions.run()).toBe('done')
    expect(sessions.lent).toBe(3)
    sessions.fail = (text) => (text === 'work' ? conflict : undefined)
    await expect(sessions.run()).rejects.toBe(conflict)
    expect(sessions.lent).toBe(3 + 5)
  })

  it('whose outcome is unknown is not done again', async () => {
    const sessions = new Sessions()
    const unknown = new CommitOutcomeUnknownError(undefined, new Error('gone'))
    sessions.fail = (text) => (text === 'commit' ? unknown : undefined)
    await expect(sessions.run()).rejects.toBe(unknown)
    expect(sessions.lent).toBe(1)
  })

  it('that fails before it has not happened, and one whose COMMIT is refused neither', async () => {
    const sessions = new Sessions()
    const lost = new WaybillError('WB_STORE_UNREACHABLE', 'gone')
    sessions.fail = (text) => (text === 'work' ? lost : undefined)
    await expect(sessions.run()).rejects.toBe(lost)
    const refused = new WaybillError('WB_STORE_FAILED', 'refused')
    sessions.fail = (text) => (text === 'commit' ? refused : undefined)
    await expect(sessions.run()).rejects.toBe(refused)
  })
})
