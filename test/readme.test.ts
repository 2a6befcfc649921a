import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Client } from 'pg'
import { beforeAll, describe, expect, it } from 'vitest'
import { blocksOf, type Block } from './readme/blocks.ts'
import { checkTypes, follow, unknownCommands, writeFiles } from './readme/page.ts'
import { Sandbox } from './readme/sandbox.ts'
import { postgresDatabase } from './setup/servers.ts'

let sandbox: Sandbox
let url: string

beforeAll(async () => {
  url = (await postgresDatabase()).url
  sandbox = await Sandbox.open({ DATABASE_URL: url })
  return () => sandbox[Symbol.asyncDispose]()
}, 120_000)

async function runSql(text: string): Promise<void> {
  const client = new Client({ connectionString: url })
  await client.connect()
  try {
    await client.query(text)
  } finally {
    await client.end()
  }
}

function fenced(...blocks: [info: string, text: string][]): readonly Block[] {
  return blocksOf(blocks.map(([info, text]) => `\`\`\`${info}\n${text}\n\`\`\`\n`).join('\n'))
}

describe('a page of code blocks', () => {
  it('is followed from top to bottom, in the folder of a reader', async () => {
    const page = fenced(
      [
        'ts file=made/first.ts',
        `import { errorCodes } from 'waybill'\nconsole.log('codes:', errorCodes.length)`,
      ],
      ['ts', `import { errorCodes } from 'waybill'\nconst code: string = errorCodes[0]`],
      ['sh', 'npm install waybill\nexport DATABASE_URL=postgres://nowhere/shop\nnode made/first.ts'],
      ['text output', 'codes: …'],
      ['sql', 'create table followed (id int)'],
      ['sh', 'ls made'],
      ['text output', 'first.ts'],
      ['json', '{ "a": 1 }'],
    )
    expect(await checkTypes(page, sandbox)).toBe('')
    expect(await follow(page, sandbox, runSql)).toEqual([])
    await runSql('drop table followed')
  })

  it.each([
    ['a command that fails', [['sh', 'true\nfalse\ntrue']], 'line 1: ended with 1'],
    ['a program that fails', [['ts run', 'process.exitCode = 1']], 'line 1: ended with 1'],
    ['a failure inside a pipe', [['sh', 'false | cat']], 'line 1: ended with 1'],
    [
      'output that is not printed',
      [
        ['sh', 'echo a'],
        ['text output', 'b'],
      ],
      'line 5: "b" was not printed',
    ],
    [
      'a script that is not there',
      [['sh repo', 'npm run nothing']],
      'line 1: this repository has no npm run nothing',
    ],
  ] satisfies [string, [string, string][], string][])('is stopped by %s', async (_what, blocks, message) => {
    const wrong = await follow(fenced(...blocks), sandbox, runSql)
    expect(wrong).toEqual([expect.stringContaining(message)])
  })

  it('is stopped by SQL and by data that are wrong', async () => {
    await expect(follow(fenced(['sql', 'select nothing']), sandbox, runSql)).rejects.toThrow('nothing')
    await expect(follow(fenced(['json', '{ a }']), sandbox, runSql)).rejects.toThrow(SyntaxError)
  })

  it('does not compile where a type is wrong', async () => {
    const page = fenced(['ts', `import { errorCodes } from 'waybill'\nconst wrong: number = errorCodes`])
    expect(await checkTypes(page, sandbox)).toContain('snippet-line-1.ts(2,7)')
    sandbox.write('snippet-line-1.ts', '')
  })

  it('may name only what a clone has in its commands for the repository', () => {
    expect(
      unknownCommands('git clone x\ncd waybill\nnpm ci && npx waybill demo  # look\nnpm test\nnpm run bench'),
    ).toEqual([])
    expect(unknownCommands('npx cowsay\nmake\nnpm start')).toEqual(['npx cowsay', 'make', 'npm start'])
  })
})

describe('README.md', () => {
  const read = (page: string): readonly Block[] =>
    blocksOf(readFileSync(new URL(`../${page}`, import.meta.url), 'utf8'))
  const blocks = read('README.md')

  it('has files, commands and the two commands of the repository', () => {
    const kinds = blocks.map((block) => block.kind.name)
    expect(kinds).toEqual(expect.arrayContaining(['file', 'run', 'repository']))
  })

  it('links to pages that the package brings, where errors send their readers too', () => {
    const page = readFileSync(new URL('../README.md', import.meta.url), 'utf8')
    const links = [...page.matchAll(/\]\(([\w/-]+\.md)\)/gu)].map(([, path]) => path!)
    expect(links).toEqual(expect.arrayContaining(['SECURITY.md', 'docs/errors.md']))
    const brought = join(sandbox.folder, 'node_modules', 'waybill')
    expect(links.filter((path) => !existsSync(join(brought, path)))).toEqual([])
  })

  it('has code that compiles against the published types', async () => {
    expect(await checkTypes(blocks, sandbox)).toBe('')
  })

  it('shares its files with docs/testing.md, whose code compiles too', async () => {
    expect(await checkTypes(read('docs/testing.md'), sandbox)).toBe('')
  })

  it('is joined by what docs/testing.md runs without a server', async () => {
    const page = read('docs/testing.md')
    writeFiles(blocks, sandbox)
    expect(page.filter(({ kind }) => kind.name === 'program')).toHaveLength(2)
    expect(await follow(page, sandbox, runSql)).toEqual([])
  })

  it('does what it says, from top to bottom', { timeout: 240_000 }, async () => {
    expect(await follow(blocks, sandbox, runSql)).toEqual([])
  })
})
