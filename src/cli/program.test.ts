import { execFileSync } from 'node:child_process'
import { expect, test } from 'vitest'

/** The modules that a command line loads, besides Node's own. */
function loadedBy(...args: readonly string[]): readonly string[] {
  const url = new URL('program.ts', import.meta.url).href
  const script = `
    import { registerHooks } from 'node:module'
    const loaded = []
    registerHooks({
      load(url, context, next) {
        loaded.push(url)
        return next(url, context)
      },
    })
    const { runCli } = await import(${JSON.stringify(url)})
    const write = process.stdout.write
    process.stdout.write = () => true
    await runCli(${JSON.stringify(args)})
    process.stdout.write = write
    console.log(JSON.stringify(loaded.filter((url) => !url.startsWith('node:'))))`
  const answer = execFileSync(process.execPath, ['--input-type=module', '--eval', script], {
    encoding: 'utf8',
  })
  return JSON.parse(answer) as readonly string[]
}

test('a relay loads no other command, and no server before it listens: that would stay in its memory', () => {
  const loaded = loadedBy('relay', '--help')
  expect(loaded.some((url) => url.endsWith('/cli/commands/relay.ts'))).toBe(true)
  expect(loaded.filter((url) => url.includes('/cli/commands/'))).toHaveLength(1)
  expect(loaded.filter((url) => /\/node_modules\/(?:@?hono|prom-client)\//u.test(url))).toEqual([])
})

test('the help knows every command', () => {
  const commands = loadedBy('--help').filter((url) => url.includes('/cli/commands/'))
  expect(commands.length).toBeGreaterThan(10)
})
