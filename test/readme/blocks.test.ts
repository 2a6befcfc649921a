import { describe, expect, it } from 'vitest'
import { blocksOf } from './blocks.ts'

const fence = '```'

function kinds(...infos: string[]): unknown[] {
  return blocksOf(infos.map((info) => `${fence}${info}\nx\n${fence}`).join('\n\n')).map((block) => block.kind)
}

describe('the blocks of a page', () => {
  it('are found in order, with the line they start in', () => {
    const page = `# A\n\n${fence}sh\nls\n\npwd\n${fence}\ntext\n\n~~~ts file=a.ts\nconst a = 1\n~~~\n`
    expect(blocksOf(page)).toEqual([
      { line: 3, language: 'sh', text: 'ls\n\npwd\n', kind: { name: 'run' } },
      { line: 10, language: 'ts', text: 'const a = 1\n', kind: { name: 'file', path: 'a.ts' } },
    ])
  })

  it('lose the indent of the list they stand in, and nothing else', () => {
    expect(blocksOf(`- one\n\n  ${fence}ts\n  if (a) {\n    b()\n  }\n  ${fence}\n`)[0]?.text).toBe(
      'if (a) {\n  b()\n}\n',
    )
  })

  it('may hold shorter fences of their own', () => {
    expect(blocksOf('````text diagram\n```\nx\n```\n````\n')).toHaveLength(1)
  })

  it('are of the kind their info string says', () => {
    expect(
      kinds(
        'ts',
        'ts file=src/a.ts',
        'sh',
        'sh repo',
        'sql',
        'json',
        'json output',
        'text output',
        'text diagram',
      ),
    ).toEqual([
      { name: 'types' },
      { name: 'file', path: 'src/a.ts' },
      { name: 'run' },
      { name: 'repository' },
      { name: 'sql' },
      { name: 'data' },
      { name: 'output' },
      { name: 'output' },
      { name: 'diagram' },
    ])
  })

  it.each(['', 'bash', 'js', 'ts file=', 'ts file=../a.ts', 'ts file=/etc/x', 'sh repo please', 'text'])(
    'are refused where nothing would test them: %j',
    (info) => {
      expect(() => kinds(info)).toThrow('The block in line 1 is of no kind that is tested')
    },
  )

  it('are refused where one is never closed', () => {
    expect(() => blocksOf(`a\n${fence}sh\nls\n`)).toThrow('opened in line 2 is never closed')
  })
})
