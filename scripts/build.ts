import { spawnSync } from 'node:child_process'
import { cpSync, existsSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { root } from './root.ts'

const fresh = join(root, '.cache', `dist-${process.pid}`)
const dist = join(root, 'dist')

try {
  const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc')
  const build = spawnSync(process.execPath, [tsc, '-p', 'tsconfig.build.json', '--outDir', fresh], {
    cwd: root,
    stdio: 'inherit',
  })
  process.exitCode = build.status ?? 1
  if (process.exitCode === 0) {
    // What is not TypeScript (a pom, a template) lies beside the code that reads it, in dist as in src.
    cpSync(join(root, 'src'), fresh, {
      recursive: true,
      filter: (from) => !from.endsWith('.ts'),
    })
    replace(dist, fresh)
  }
} finally {
  rmSync(fresh, { recursive: true, force: true })
}

/** Whole or not at all: a process that is reading `dist` meanwhile must not meet half a build. */
function replace(target: string, source: string): void {
  const old = `${source}-old`
  if (existsSync(target)) renameSync(target, old)
  renameSync(source, target)
  rmSync(old, { recursive: true, force: true })
}
