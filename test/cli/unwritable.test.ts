import { spawn, spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'

const bin = fileURLToPath(new URL('../../bin/waybill.js', import.meta.url))
const logger = new URL('../../src/kernel/logger.ts', import.meta.url).href

/** A service that logs again and again, each line in a turn of its own, and says at its end that it lives. */
const service = `
  import { jsonLogger } from '${logger}'
  const log = jsonLogger()
  for (let i = 0; i < 20; i++) {
    log.info({ i }, 'a line')
    await new Promise(setImmediate)
  }
  console.log('still here')`

const node = [process.execPath, '--input-type=module', '--eval', service]

// What every write to fails, as to a file on a full disk.
describe.skipIf(!existsSync('/dev/full'))('a stream that is full', () => {
  const run = (script: string, ...args: readonly string[]): ReturnType<typeof spawnSync> =>
    spawnSync('sh', ['-c', script, 'sh', ...args], {
      encoding: 'utf8',
      env: { ...process.env, NODE_NO_WARNINGS: '1' },
    })

  it('does not end a service that logs to it', () => {
    expect(run('"$@" 2>/dev/full', ...node)).toMatchObject({ status: 0, stdout: 'still here\n' })
  })

  it('makes a command say in one line that nobody gets its output, and end with 1', () => {
    const { status, stderr } = run('"$@" >/dev/full', process.execPath, bin, 'explain', '--help')
    expect({ status, stderr }).toEqual({
      status: 1,
      stderr: expect.stringMatching(/^error The output could not be written to stdout: .*ENOSPC.*\n$/u),
    })
  })

  it('does not end a command whose words for people it cannot take', () => {
    expect(run('"$@" 2>/dev/full', process.execPath, bin, 'keys', '--wrong')).toMatchObject({ status: 2 })
  })
})

it('does not end a service either where the reader of its log has gone', async () => {
  const child = spawn(node[0]!, node.slice(1), { stdio: ['ignore', 'pipe', 'pipe'] })
  child.stderr.destroy()
  let stdout = ''
  child.stdout.on('data', (chunk: Buffer) => {
    stdout += chunk.toString()
  })
  const code = await new Promise((resolve) => {
    child.once('close', resolve)
  })
  expect({ code, stdout }).toEqual({ code: 0, stdout: 'still here\n' })
})
