import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { expect, onTestFinished, test } from 'vitest'
import { isGone, killTree, pauseTree, processTree, resumeTree, signal } from './process-tree.ts'
import { until } from './until.ts'

/** A shell with two children of its own, one of which has a child too. */
async function family(): Promise<number> {
  const script = 'sleep 600 & (sleep 600 & wait) & echo ready; wait'
  const child = spawn('/bin/sh', ['-c', script], { stdio: ['ignore', 'pipe', 'ignore'] })
  onTestFinished(() => killTree(child.pid!))
  await once(child.stdout, 'data')
  await until('all four processes', () => processTree(child.pid!).length === 4)
  return child.pid!
}

test('the tree is the process and all its descendants, parents first', async () => {
  const root = await family()
  const tree = processTree(root)
  expect(tree[0]).toBe(root)
  expect(new Set(tree).size).toBe(4)
  expect(tree.every((pid) => !isGone(pid))).toBe(true)
})

test('killing the tree leaves none of them, and killing it again is no error', async () => {
  const root = await family()
  const tree = processTree(root)
  await killTree(root)
  expect(tree.every(isGone)).toBe(true)
  expect(processTree(root)).toEqual([])
  await killTree(root)
})

test('a paused tree can be killed, and a resumed one goes on', async () => {
  const child = spawn('/bin/sh', ['-c', 'while read -r line; do echo "$line"; done'], {
    stdio: ['pipe', 'pipe', 'ignore'],
  })
  const pid = child.pid!
  await pauseTree(pid)
  child.stdin.write('held back\n')
  resumeTree(pid)
  const [answer] = (await once(child.stdout, 'data')) as [Buffer]
  expect(answer.toString()).toBe('held back\n')
  await pauseTree(pid)
  await killTree(pid)
  expect(isGone(pid)).toBe(true)
})

test('a process that has ended and was not reaped counts as gone', async () => {
  // The shell's child ends at once and stays a zombie, because the shell never waits for it.
  const parent = spawn('/bin/sh', ['-c', 'true & echo $!; exec sleep 600'], {
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  onTestFinished(() => killTree(parent.pid!))
  const [said] = (await once(parent.stdout, 'data')) as [Buffer]
  const zombie = Number(said.toString())
  await until('its end', () => isGone(zombie))
  expect(processTree(parent.pid!)).toEqual([parent.pid])
})

test('a signal that may not be sent is an error, one to nobody is not', () => {
  expect(() => {
    signal(2 ** 22 + 1, 'SIGTERM')
  }).not.toThrow()
  expect(() => {
    signal(process.pid, 'SIGNONE' as NodeJS.Signals)
  }).toThrow('SIGNONE')
})
