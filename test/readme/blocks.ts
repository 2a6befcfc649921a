/** A fenced code block of a Markdown page. */
export interface Block {
  /** Line of the opening fence. */
  readonly line: number
  readonly language: string
  readonly text: string
  readonly kind: BlockKind
}

/**
 * `file`: written to `path`, and type-checked where it is TypeScript · `types`: TypeScript that is only type-checked · `program`: run
 * besides, which takes no server · `run`:
 * run by bash · `repository`: commands for a clone of this repository, checked to exist · `sql`: run in the database ·
 * `output`: what the `run` block before it prints, `…` standing for what differs · `data`: JSON that must parse ·
 * `diagram`: a drawing for people.
 */
type BlockKind =
  | { readonly name: 'file'; readonly path: string }
  | { readonly name: 'types' | 'program' | 'run' | 'repository' | 'sql' | 'output' | 'data' | 'diagram' }

/** Every fenced block, in order. Throws at one that is of no known kind, or is never closed. */
export function blocksOf(markdown: string): readonly Block[] {
  const blocks: Block[] = []
  const lines = markdown.split('\n')
  for (let at = 0; at < lines.length; at++) {
    const fence = /^([ \t]*)(`{3,}|~{3,})[ \t]*(.*)$/u.exec(lines[at]!)
    if (fence === null) continue
    const [, indent, mark, info] = fence as unknown as readonly [string, string, string, string]
    const line = at + 1
    const body: string[] = []
    for (at++; !isClosing(lines[at], mark, line); at++) {
      const text = lines[at]!
      body.push(text.startsWith(indent) ? text.slice(indent.length) : text.trimStart())
    }
    blocks.push({
      line,
      language: info.split(' ', 1)[0]!,
      text: `${body.join('\n')}\n`,
      kind: kindOf(info.trim(), line),
    })
  }
  return blocks
}

function isClosing(line: string | undefined, mark: string, opened: number): boolean {
  if (line === undefined) throw new Error(`The block opened in line ${opened} is never closed.`)
  const text = line.trim()
  return text.length >= mark.length && text === mark[0]!.repeat(text.length)
}

const plainKinds: Readonly<Record<string, Exclude<BlockKind['name'], 'file'>>> = {
  ts: 'types',
  'ts run': 'program',
  sh: 'run',
  'sh repo': 'repository',
  sql: 'sql',
  json: 'data',
  'json output': 'output',
  'text output': 'output',
  'text diagram': 'diagram',
  mermaid: 'diagram',
}

function kindOf(info: string, line: number): BlockKind {
  const path = /^[a-z]+ file=([\w./-]+)$/u.exec(info)?.[1]
  if (path !== undefined && !path.startsWith('/') && !path.split('/').includes('..'))
    return { name: 'file', path }
  const name = plainKinds[info]
  if (name !== undefined) return { name }
  throw new Error(
    `The block in line ${line} is of no kind that is tested: "${info}". CONTRIBUTING.md lists the kinds.`,
  )
}
