import { execFileSync, spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { until } from './until.ts'

/** A process and all its descendants, parents first. Those that ended and were not reaped do not count. */
export function processTree(root: number): readonly number[] {
  const children = new Map<number, number[]>()
  let rootLives = false
  for (const { pid, parent } of processes()) {
    if (pid === root) rootLives = true
    const siblings = children.get(parent)
    if (siblings === undefined) children.set(parent, [pid])
    else siblings.push(pid)
  }
  const tree = rootLives ? [root] : []
  for (const pid of tree) tree.push(...(children.get(pid) ?? []))
  return tree
}

/** Whether the process has ended, a zombie included: where process 1 reaps nothing, orphans stay zombies for ever. */
export function isGone(pid: number): boolean {
  try {
    process.kill(pid, 0)
  } catch (error) {
    // EPERM: it is there and somebody else's.
    return (error as NodeJS.ErrnoException).code === 'ESRCH'
  }
  return (processState(pid) ?? 'Z') === 'Z'
}

/**
 * SIGSTOP for a process and its descendants; resolves when each of them stands still. A stop arrives a little after it was
 * sent, and until then a process may start another: so the tree is looked at again until nothing in it moves.
 */
export async function pauseTree(root: number): Promise<void> {
  await until(`the stop of process ${root}`, () => {
    const moving = processTree(root).filter((pid) => processState(pid) !== 'T')
    for (const pid of moving) signal(pid, 'SIGSTOP')
    return moving.length === 0
  })
}

/** SIGCONT for the descendants, then for the root. */
export function resumeTree(root: number): void {
  for (const pid of processTree(root).toReversed()) signal(pid, 'SIGCONT')
}

/** SIGKILL for a process and its descendants; resolves when all of them are gone. */
export async function killTree(root: number): Promise<void> {
  // Stopped first: a child that is started while the others are killed would outlive them, and be nobody's.
  await pauseTree(root)
  const tree = processTree(root)
  for (const pid of tree) signal(pid, 'SIGKILL')
  await until(`the end of process ${root}`, () => tree.every(isGone))
}

/** Sends a signal; a process that is gone already is no error. */
export function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}

/** `T`: stopped, `Z`: ended and not reaped; `undefined`: not there. */
function processState(pid: number): string | undefined {
  if (process.platform === 'linux') return readStat(pid)?.[0]
  const { stdout } = spawnSync('ps', ['-o', 'state=', '-p', `${pid}`], { encoding: 'utf8' })
  return stdout.trim()[0]
}

// The name in parentheses may hold spaces and parentheses, so the fields are counted from the last one (proc(5)).
function readStat(pid: number): readonly string[] | undefined {
  try {
    const line = readFileSync(`/proc/${pid}/stat`, 'latin1')
    return line.slice(line.lastIndexOf(')') + 2).split(' ')
  } catch {
    return undefined
  }
}

function processes(): { readonly pid: number; readonly parent: number }[] {
  if (process.platform === 'linux') {
    return readdirSync('/proc')
      .filter((name) => /^\d+$/u.test(name))
      .map((name) => ({ pid: Number(name), stat: readStat(Number(name)) }))
      .filter(({ stat }) => stat !== undefined && stat[0] !== 'Z')
      .map(({ pid, stat }) => ({ pid, parent: Number(stat![1]) }))
  }
  return execFileSync('ps', ['-A', '-o', 'pid=,ppid=,state='], { encoding: 'utf8' })
    .split('\n')
    .map((line) => line.trim().split(/\s+/u))
    .filter((fields) => fields.length === 3 && !fields[2]!.startsWith('Z'))
    .map(([pid, parent]) => ({ pid: Number(pid), parent: Number(parent) }))
}
