import packageJson from '../../package.json' with { type: 'json' }
import type { Block } from './blocks.ts'
import { missingLine } from './output.ts'
import type { Sandbox } from './sandbox.ts'

const compilerOptions = {
  target: 'es2024',
  lib: ['es2024', 'esnext.disposable'],
  module: 'nodenext',
  types: ['node'],
  strict: true,
  noEmit: true,
  skipLibCheck: true,
  allowImportingTsExtensions: true,
  erasableSyntaxOnly: true,
  verbatimModuleSyntax: true,
}

/** Puts every file of the page in its place. */
export function writeFiles(blocks: readonly Block[], sandbox: Sandbox): void {
  for (const { kind, text } of blocks) if (kind.name === 'file') sandbox.write(kind.path, text)
}

/** Puts every file of the page in its place, and compiles all its TypeScript. Returns what the compiler says. */
export async function checkTypes(blocks: readonly Block[], sandbox: Sandbox): Promise<string> {
  sandbox.write('tsconfig.json', JSON.stringify({ compilerOptions, include: ['**/*.ts'] }))
  writeFiles(blocks, sandbox)
  for (const block of blocks) {
    // `export {}` makes a module of it, so that two snippets may use one name.
    if (block.kind.name === 'types' || block.kind.name === 'program')
      sandbox.write(snippetOf(block), `${block.text}export {}\n`)
  }
  const { code, output } = await sandbox.run('tsc -p .', 60_000)
  return code === 0 ? '' : output
}

/**
 * Does what a reader does, from top to bottom. Returns what went wrong, `[]` where nothing did. Goes no further after a
 * command that failed: the rest of the page builds on it.
 */
export async function follow(
  blocks: readonly Block[],
  sandbox: Sandbox,
  runSql: (text: string) => Promise<void>,
): Promise<readonly string[]> {
  let printed = ''
  for (const block of blocks) {
    const at = `line ${block.line}`
    switch (block.kind.name) {
      case 'run': {
        const { code, output } = await sandbox.run(asInstalled(block.text), 120_000)
        if (code !== 0) return [`${at}: ended with ${code ?? 'a signal'}\n${output}`]
        printed = output
        break
      }
      case 'program': {
        sandbox.write(snippetOf(block), block.text)
        const { code, output } = await sandbox.run(`node ${snippetOf(block)}`, 60_000)
        if (code !== 0) return [`${at}: ended with ${code ?? 'a signal'}\n${output}`]
        break
      }
      case 'output': {
        const missing = missingLine(block.text, printed)
        if (missing !== null) return [`${at}: "${missing}" was not printed. This was:\n${printed}`]
        break
      }
      case 'sql':
        await runSql(block.text)
        break
      case 'data':
        JSON.parse(block.text)
        break
      case 'repository': {
        const unknown = unknownCommands(block.text)
        if (unknown.length > 0) return [`${at}: this repository has no ${unknown.join(', no ')}`]
        break
      }
      case 'file':
      case 'types':
      case 'diagram':
    }
  }
  return []
}

function snippetOf({ line }: Block): string {
  return `snippet-line-${line}.ts`
}

/**
 * The sandbox has Waybill installed, from this clone, and a database of its own: what a page says to install or where its
 * database is would take the published version, and a database that is not there.
 */
function asInstalled(script: string): string {
  return script
    .split('\n')
    .filter((line) => !/^\s*(?:npm (?:install|i) |export DATABASE_URL=)/u.test(line))
    .join('\n')
}

/** Commands of a `sh repo` block that a clone does not have: they are not run, since this test is one of them. */
export function unknownCommands(script: string): string[] {
  const commands = script
    .split('\n')
    .flatMap((line) => line.replace(/#.*$/u, '').split('&&'))
    .map((command) => command.trim())
    .filter((command) => command !== '')
  return commands.filter((command) => !isKnown(command))
}

function isKnown(command: string): boolean {
  const [tool, name, script] = command.split(/\s+/u)
  if (tool === 'git' || tool === 'cd') return true
  if (tool === 'npx') return Object.hasOwn(packageJson.bin, name ?? '')
  if (tool !== 'npm') return false
  if (name === 'ci') return true
  return Object.hasOwn(packageJson.scripts, (name === 'run' ? script : name) ?? '')
}
