import { describe, expect, it } from 'vitest'
import { Output, type OutputStream } from './output.ts'

function stream(isTTY: boolean): OutputStream & { text: string } {
  return {
    isTTY,
    text: '',
    write(text) {
      this.text += text
    },
  }
}

describe('Output', () => {
  it('puts the result for people on stdout, and what is going on on stderr', () => {
    const [out, err] = [stream(false), stream(false)]
    const output = new Output(false, out, err, {})
    output.note('working')
    output.say('done')
    output.result({ done: true })
    expect({ out: out.text, err: err.text }).toEqual({ out: 'done\n', err: 'working\n' })
  })

  it('with --json puts one line on stdout, and all else on stderr', () => {
    const [out, err] = [stream(false), stream(false)]
    const output = new Output(true, out, err, {})
    output.note('working')
    output.say('done')
    output.result({ text: 'two\nlines' })
    expect({ out: out.text, err: err.text }).toEqual({
      out: '{"text":"two\\nlines"}\n',
      err: 'working\ndone\n',
    })
  })

  it.each([
    ['a terminal', true, {}, true],
    ['a terminal with an empty NO_COLOR', true, { NO_COLOR: '' }, true],
    ['a terminal with NO_COLOR', true, { NO_COLOR: '1' }, false],
    ['a dumb terminal', true, { TERM: 'dumb' }, false],
    ['a pipe', false, {}, false],
  ])('colours %s: %s', (_what, isTTY, env, isColoured) => {
    const { colors } = new Output(false, stream(isTTY), stream(false), env)
    expect(colors.red('x') !== 'x').toBe(isColoured)
  })

  it('colours the result for the stream it goes to', () => {
    expect(new Output(true, stream(true), stream(false), {}).colors.red('x')).toBe('x')
    expect(new Output(true, stream(false), stream(true), {}).colors.red('x')).not.toBe('x')
  })

  it('is live on a terminal that can be painted on', () => {
    expect(new Output(true, stream(false), stream(true), {}).isLive).toBe(true)
    expect(new Output(false, stream(true), stream(false), {}).isLive).toBe(false)
    expect(new Output(false, stream(true), stream(true), { TERM: 'dumb' }).isLive).toBe(false)
  })

  it.each([
    ['a terminal', true, 64, 64],
    ['a wide one', true, 200, 80],
    ['one that is too narrow for columns', true, 10, 60],
    ['one that does not know its size', true, 0, 80],
    ['a pipe, whatever it says', false, 64, 80],
  ])('sets a text for %s', (_what, isTTY, columns, width) => {
    const terminal = { isTTY, columns, write: () => true }
    expect(new Output(false, terminal, stream(false), {}).page.width).toBe(width)
    expect(new Output(true, stream(false), terminal, {}).page.width).toBe(width)
  })
})
