import { PassThrough, Writable } from 'node:stream'
import { Command } from 'commander'
import { describe, expect, it } from 'vitest'
import { until } from '../testing/until.ts'
import { confirmed, type ConfirmTerminal } from './confirm.ts'
import { Output } from './output.ts'

const enter = '\r'
const controlC = '\u0003'

const silent = { write: (): void => {} }

function scene(isJson = false): {
  terminal: ConfirmTerminal
  press: (...keys: readonly string[]) => void
  sees: (text: string) => Promise<unknown>
  ask: (flags: object, count?: number) => Promise<boolean>
} {
  const input = Object.assign(new PassThrough(), { isTTY: true, setRawMode() {} })
  let shown = ''
  const output = Object.assign(
    new Writable({
      write(chunk: Buffer, _encoding, done) {
        shown += chunk.toString()
        done()
      },
    }),
    { isTTY: true, columns: 80, rows: 40 },
  )
  const terminal = { input, output }
  const command = new Command('purge').exitOverride().configureOutput({ writeErr: () => {} })
  return {
    terminal,
    press: (...keys) => {
      for (const key of keys) input.write(key)
    },
    sees: (text) => until(`"${text}"`, () => shown.includes(text)),
    ask: (flags, count = 12) =>
      confirmed(command, new Output(isJson, silent, silent, {}), flags, count, 'dead letters', terminal),
  }
}

describe('what an operator changes', () => {
  it('goes on when the count is typed, and only then', async () => {
    const { ask, sees, press } = scene()
    const answer = ask({})
    await sees('Type 12 to go on.')
    press('1', '3', enter)
    await sees('It takes 12')
    press('\u007F', '2', enter)
    expect(await answer).toBe(true)
  })

  it('is left at Ctrl-C', async () => {
    const { ask, sees, press } = scene()
    const answer = ask({})
    await sees('Type 12')
    press(controlC)
    expect(await answer).toBe(false)
  })

  it('is not asked about where the flags say it', async () => {
    expect(await scene().ask({ yes: true })).toBe(true)
    expect(await scene().ask({ count: 12 })).toBe(true)
  })

  it('is refused where it is not so many as the flags say, whatever else they say', async () => {
    await expect(scene().ask({ count: 11, yes: true })).rejects.toThrow('It is 12 dead letters, not 11')
  })

  it('is refused where nobody can be asked', async () => {
    await expect(scene(true).ask({})).rejects.toThrow('Give --count 12 or --yes')
    const { terminal, ask } = scene()
    Object.assign(terminal.input, { isTTY: false })
    await expect(ask({})).rejects.toThrow('nobody can be asked here')
  })
})
