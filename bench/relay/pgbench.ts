import { execFile } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)

/**
 * Runs a statement so often, one after another, prepared. Returns how often a second, without the time to connect; or why that
 * cannot be measured. npm's PostgreSQL brings no pgbench, so it is the machine's.
 */
export async function runPgbench(url: string, statement: string, times: number): Promise<number | string> {
  const command = findPgbench()
  if (command === undefined) return 'pgbench is missing (apt install postgresql-contrib)'
  const folder = mkdtempSync(join(tmpdir(), 'waybill-pgbench-'))
  try {
    const script = join(folder, 'script.sql')
    writeFileSync(script, `${statement};\n`)
    const flags = ['--no-vacuum', '--protocol=prepared', '--client=1', `--transactions=${times}`]
    const { stdout } = await run(command, [...flags, `--file=${script}`, url])
    const done = /transactions actually processed: (\d+)\/\d+/u.exec(stdout)?.[1]
    const perSecond = Number(/tps = ([\d.]+) \(without initial connection time\)/u.exec(stdout)?.[1])
    if (Number(done) !== times || !(perSecond > 0)) throw new Error(`pgbench answered:\n${stdout}`)
    return perSecond
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** The newest of Debian's folders, else whatever the path has. */
function findPgbench(): string | undefined {
  const home = '/usr/lib/postgresql'
  const versions = existsSync(home) ? readdirSync(home) : []
  const folders = [
    ...versions.toSorted((a, b) => Number(b) - Number(a)).map((version) => join(home, version, 'bin')),
    ...(process.env['PATH'] ?? '').split(':'),
  ]
  return folders.map((folder) => join(folder, 'pgbench')).find((path) => existsSync(path))
}
