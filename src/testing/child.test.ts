import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { spawnChild, type Child, type SpawnChildOptions } from './child.ts'
import { isGone } from './process-tree.ts'
import { until } from './until.ts'

const failpointModule = new URL('../kernel/failpoint.ts', import.meta.url).href
const childModule = new URL('./child.ts', import.meta.url).href

function scriptFile(text: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'waybill-child-'))
  onTestFinished(() => {
    rmSync(folder, { recursive: true })
  })
  const file = join(folder, 'script.ts')
  writeFileSync(file, text)
  return file
}

function run(text: string, options: Omit<SpawnChildOptions, 'script'> = {}): Child {
  const child = spawnChild({ script: scriptFile(text), ...options })
  onTestFinished(async () => {
    await child.kill()
  })
  return child
}

const staysAlive = 'setInterval(() => {}, 60_000)'

test('a TypeScript file runs, with arguments and environment, and its lines are heard', async () => {
  const heard: string[] = []
  const child = run(
    'const word: string = process.env.WORD!; console.log(word, process.argv[2]); console.error("on stderr")',
    { args: ['x'], env: { WORD: 'hello' }, onLine: (line, stream) => heard.push(`${stream} ${line}`) },
  )
  expect(await child.waitForLine((line) => line.startsWith('hello'))).toBe('hello x')
  expect(await child.exited).toEqual({ code: 0, signal: null })
  expect(heard.sort()).toEqual(['stderr on stderr', 'stdout hello x'])
})

test('what one that never ends has compiled is there for the next', async () => {
  const script = scriptFile(`const a: number = 1; console.log(a); ${staysAlive}`)
  const cache = join(dirname(script), 'cache')
  const env = {
    NODE_COMPILE_CACHE: cache,
    NODE_DISABLE_COMPILE_CACHE: undefined,
    NODE_V8_COVERAGE: undefined,
  }
  await using child = spawnChild({ script, env })
  await child.waitForLine((line) => line === '1')
  const isKept = (): boolean =>
    readdirSync(dirname(script), { recursive: true, withFileTypes: true }).filter((each) => each.isFile())
      .length > 1
  await until('a file in its compile cache', isKept)
})

test('any command can be run, and its exit code is told', async () => {
  const child = spawnChild({ command: '/bin/sh', args: ['-c', 'exit 3'] })
  expect(await child.exited).toEqual({ code: 3, signal: null })
})

test('kill is SIGKILL of its whole group and waits for the end', async () => {
  const child = spawnChild({ command: '/bin/sh', args: ['-c', 'sleep 600 & echo $!; wait'] })
  const grandchild = Number(await child.waitForLine((line) => line !== ''))
  expect(await child.kill()).toEqual({ code: null, signal: 'SIGKILL' })
  await until('the end of its child', () => isGone(grandchild))
  expect(isGone(child.pid)).toBe(true)
  expect(await child.kill()).toEqual({ code: null, signal: 'SIGKILL' })
})

test('what a child leaves behind in its group ends with it', async () => {
  const child = spawnChild({ command: '/bin/sh', args: ['-c', 'sleep 600 & echo $!'] })
  const left = Number(await child.waitForLine((line) => line !== ''))
  expect(await child.exited).toEqual({ code: 0, signal: null })
  await until('the end of what it left', () => isGone(left))
})

test('terminate is SIGTERM, which a child may answer in its own way', async () => {
  const child = run(`process.on('SIGTERM', () => process.exit(7)); ${staysAlive}; console.log('ready')`)
  await child.waitForLine((line) => line === 'ready')
  expect(await child.terminate()).toEqual({ code: 7, signal: null })
})

test('messages go both ways, and a paused child answers when it is resumed', async () => {
  const child = run(
    `process.on('message', (word) => process.send!({ echo: word })); process.send!('ready')`,
    { ipc: true },
  )
  await child.waitForMessage((message) => message === 'ready')
  child.pause()
  child.send('a')
  child.resume()
  expect(await child.waitForMessage<{ echo?: string }>(({ echo }) => echo === 'a')).toEqual({ echo: 'a' })
  await child.kill()
  expect(() => {
    child.send('b')
  }).toThrow('no channel')
})

test('waiting for a line that never comes ends with the child, and tells its last words', async () => {
  const child = run("console.error('the reason'); process.exitCode = 2")
  await expect(child.waitForLine((line) => line === 'never')).rejects.toThrow(/code 2[^]*the reason/u)
})

test('waiting has an end of its own too', async () => {
  const child = run(staysAlive)
  await expect(child.waitForLine(() => false, 1)).rejects.toMatchObject({ code: 'WB_TIMED_OUT' })
})

test('an armed failpoint kills the child at its third hit', async () => {
  const child = run(
    `import { failpoint } from '${failpointModule}'
     for (const hit of [1, 2, 3, 4]) { console.log('hit ' + hit); failpoint('relay.after-send') }`,
    { failpoints: 'relay.after-send=kill@3' },
  )
  expect(await child.exited).toEqual({ code: null, signal: 'SIGKILL' })
  expect(child.lines).toContain('failpoint relay.after-send kill')
  expect(child.lines.filter((line) => line.startsWith('hit'))).toEqual(['hit 1', 'hit 2', 'hit 3'])
})

test('an armed failpoint stops the child until it is resumed', async () => {
  const child = run(
    `import { failpoint } from '${failpointModule}'
     failpoint('consumer.before-commit'); console.log('went on')`,
    { failpoints: 'consumer.before-commit=stop' },
  )
  await child.waitForLine((line) => line === 'failpoint consumer.before-commit stop')
  expect(child.lines).not.toContain('went on')
  await until('the stop', () => {
    child.resume()
    return child.lines.includes('went on')
  })
  expect(await child.exited).toEqual({ code: 0, signal: null })
})

test('an unknown failpoint ends the child at its start, with a hint', async () => {
  const child = run("console.log('ran')", { failpoints: 'relay.after-sent=kill' })
  expect((await child.exited).code).toBe(1)
  expect(child.lines.join('\n')).toContain('Did you mean "relay.after-send"?')
  expect(child.lines).not.toContain('ran')
})

test('children die with their parent, when it is killed with SIGKILL too', async () => {
  const parent = run(
    `import { spawnChild } from '${childModule}'
     const script = process.argv[2]
     const children = [spawnChild({ script }), spawnChild({ script })]
     const ended = spawnChild({ command: '/bin/true' })
     await ended.exited
     children[1]!.pause()
     console.log(children.map(({ pid }) => pid).join(' ')); ${staysAlive}`,
    { args: [scriptFile(staysAlive)] },
  )
  const pids = (await parent.waitForLine((line) => /^\d+ \d+$/u.test(line))).split(' ').map(Number)
  expect(pids.map(isGone)).toEqual([false, false])
  await parent.kill()
  await until('the end of its children', () => pids.every(isGone))
})

test('a parent that has nothing else to do is not held by its guard', async () => {
  const parent = run(
    `import { spawnChild } from '${childModule}'
     await spawnChild({ command: '/bin/true' }).exited
     console.log('done')`,
  )
  expect(await parent.exited).toEqual({ code: 0, signal: null })
})

test('disposing kills', async () => {
  const pids: number[] = []
  {
    await using child = spawnChild({ command: '/bin/sleep', args: ['600'] })
    pids.push(child.pid)
  }
  expect(isGone(pids[0]!)).toBe(true)
})

test('options that exclude each other are refused, and so is a command that is not there', () => {
  expect(() => spawnChild({})).toThrow('`script` or `command`')
  expect(() => spawnChild({ script: 'a', command: 'b' })).toThrow('`script` or `command`')
  expect(() => spawnChild({ command: 'b', failpoints: 'relay.after-send=kill' })).toThrow('needs a `script`')
  expect(() => spawnChild({ command: '/nowhere/at/all' })).toThrow('could not be started')
})
