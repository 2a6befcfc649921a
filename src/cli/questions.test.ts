import { PassThrough, Writable } from 'node:stream'
import { describe, expect, it } from 'vitest'
import { until } from '../testing/until.ts'
import { askAnswers } from './questions.ts'

const enter = '\r'
const down = '\u001B[B'

/** A terminal whose user presses keys when a question is seen. */
class FakeTerminal {
  readonly input: PassThrough = Object.assign(new PassThrough(), { isTTY: true, setRawMode() {} })
  shown = ''
  readonly output: Writable = Object.assign(
    new Writable({
      write: (chunk: Buffer, _encoding, done) => {
        this.shown += chunk.toString()
        done()
      },
    }),
    { isTTY: true, columns: 80, rows: 40 },
  )

  async answer(question: string, ...keys: readonly string[]): Promise<void> {
    await until(`the question "${question}"`, () => this.shown.includes(question))
    for (const key of keys) this.input.write(key)
  }
}

describe('askAnswers', () => {
  it('asks for everything that choosing turns on', async () => {
    const terminal = new FakeTerminal()
    const asking = askAnswers(terminal)
    await terminal.answer('called?', 'mail.sent', enter)
    await terminal.answer('be lost', 'n')
    await terminal.answer('there twice?', down, enter)
    await terminal.answer('your database', 'n')
    await terminal.answer('in order?', 'y')
    await terminal.answer('counts more?', down, enter)
    await terminal.answer('Which broker?', down, enter)
    expect(await asking).toEqual({
      name: 'mail.sent',
      mayBeLost: false,
      mayRepeat: 'idempotent',
      inTransaction: false,
      ordered: true,
      latency: 'low',
      broker: 'kafka',
    })
  })

  it('does not ask whether what may be lost may repeat', async () => {
    const terminal = new FakeTerminal()
    const asking = askAnswers(terminal)
    await terminal.answer('called?', enter)
    await terminal.answer('be lost', 'y')
    await terminal.answer('your database', 'y')
    await terminal.answer('in order?', 'n')
    await terminal.answer('counts more?', enter)
    await terminal.answer('Which broker?', enter)
    expect(await asking).toMatchObject({ name: 'orders.placed', mayBeLost: true, broker: 'local' })
    expect(terminal.shown).not.toContain('there twice?')
  })

  it.each([
    'called?',
    'be lost',
    'there twice?',
    'your database',
    'in order?',
    'counts more?',
    'Which broker?',
  ])('is left with Ctrl-C at: %s', async (last) => {
    const terminal = new FakeTerminal()
    const asking = askAnswers(terminal)
    const keys: readonly (readonly [string, string])[] = [
      ['called?', enter],
      ['be lost', 'n'],
      ['there twice?', enter],
      ['your database', 'y'],
      ['in order?', 'n'],
      ['counts more?', enter],
      ['Which broker?', enter],
    ]
    for (const [question, key] of keys) {
      if (question === last) break
      await terminal.answer(question, key)
    }
    await terminal.answer(last, '\u0003')
    expect(await asking).toBeNull()
  })
})
