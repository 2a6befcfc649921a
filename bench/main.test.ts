import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'

const script = fileURLToPath(new URL('main.ts', import.meta.url))

function run(...args: readonly string[]) {
  return spawnSync(process.execPath, [script, ...args], { encoding: 'utf8' })
}

describe('npm run bench', () => {
  it('shows its help on stderr, with the groups there are', () => {
    const { status, stdout, stderr } = run('--help')
    expect(status).toBe(0)
    expect(stdout).toBe('')
    expect(stderr).toContain('--only A,B     of the relay')
    expect(stderr).toContain(
      'drain, publish, waking, snapshot, order, latency, inbox, kafka, wal, backlog, peers',
    )
  })

  it.each([
    ['a bench that is not there', ['spine']],
    ['a group that is not there', ['relay', '--only', 'drains']],
    ['rounds that are none', ['relay', '--rounds', '0']],
    ['to write a part of the answer', ['relay', '--only', 'drain', '--write']],
    ['to write what was measured in small', ['relay', '--scale', '0.5', '--write']],
  ])('refuses %s', (_name, args) => {
    const { status, stdout, stderr } = run(...args)
    expect(status).toBe(2)
    expect(stdout).toBe('')
    expect(stderr).toContain('Usage: npm run bench')
  })
})
