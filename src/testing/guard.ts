import { spawn } from 'node:child_process'
import type { Socket } from 'node:net'

// It notes which process groups live, and SIGKILLs them when its pipe ends: SIGKILL of this process runs no handler, but
// the kernel closes its end of the pipe.
const script = `
trap '' HUP INT TERM
groups=
while read -r word group; do
  left=
  for one in $groups; do
    if [ "$one" != "$group" ]; then left="$left $one"; fi
  done
  groups=$left
  if [ "$word" = add ]; then groups="$groups $group"; fi
done
for one in $groups; do
  kill -s KILL -- "-$one" 2>/dev/null
done
`

let pipe: Socket | undefined

function guard(): Socket {
  if (pipe !== undefined) return pipe
  const shell = spawn('/bin/sh', ['-c', script], {
    cwd: '/',
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
  })
  shell.unref()
  const stdin = shell.stdin as Socket
  stdin.unref()
  // Only who kills the guard breaks this pipe; the next child starts a new one.
  stdin.on('error', () => {
    pipe = undefined
  })
  pipe = stdin
  return stdin
}

/** From now on the process group ends with this process, however this one ends. Call it before the group is started. */
export function prepareGuard(): void {
  guard()
}

export function guardGroup(group: number): void {
  guard().write(`add ${group}\n`)
}

/** Before the system may give the number to another process. */
export function releaseGroup(group: number): void {
  guard().write(`remove ${group}\n`)
}
