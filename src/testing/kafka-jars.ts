import { execFile, spawnSync, type SpawnSyncReturns } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { homedir } from 'node:os'
import { dirname, join, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { WaybillError } from '../kernel/errors.ts'

const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..')
const pom = join(root, 'servers', 'kafka', 'pom.xml')

/** The repository's `.cache` in a checkout; the user's cache folder where the package is installed. */
function cacheFolder(): string {
  if (!root.includes(`${sep}node_modules${sep}`)) return join(root, '.cache')
  return join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'waybill')
}

function jarFolder(): { readonly cache: string; readonly jars: string } {
  const cache = cacheFolder()
  // Named by what it was made from, so that a changed pom never runs on old jars.
  const version = createHash('sha256').update(readFileSync(pom)).digest('hex').slice(0, 12)
  return { cache, jars: join(cache, `kafka-${version}`) }
}

export interface JavaTools {
  readonly isAvailable: boolean
  /** What to install, where something is missing; `''` where nothing is. */
  readonly hint: string
}

/**
 * Whether the Kafka test server can run: Java 17 or newer, and Maven as long as the jars have not been fetched. If not, how
 * to get them on Debian.
 */
export function findJavaAndMaven(path: string = process.env['PATH'] ?? ''): JavaTools {
  const run = (command: string, flag: string): SpawnSyncReturns<string> =>
    spawnSync(command, [flag], { encoding: 'utf8', env: { ...process.env, PATH: path } })
  const java = run('java', '-version')
  const version = Number(/version "(\d+)/u.exec(java.stderr ?? '')?.[1] ?? 0)
  const needsMaven = !existsSync(jarFolder().jars) && run('mvn', '--version').status !== 0
  const missing = [...(version >= 17 ? [] : ['default-jre-headless']), ...(needsMaven ? ['maven'] : [])]
  const isAvailable = missing.length === 0
  return { isAvailable, hint: isAvailable ? '' : `apt-get install -y ${missing.join(' ')}` }
}

/**
 * The class path of Kafka and its console tools. The first call fetches the jars (55 MB) with Maven into a cache folder;
 * later ones, of any process, find them there.
 *
 * Throws `WB_PEER_MISSING` with the Debian packages where Java or Maven is missing, `WB_BROKER_UNREACHABLE` where Maven fails.
 */
export async function kafkaClasspath(signal?: AbortSignal): Promise<string> {
  const { cache, jars } = jarFolder()
  const tools = findJavaAndMaven()
  if (!tools.isAvailable) {
    throw new WaybillError('WB_PEER_MISSING', `The Kafka test server needs Java 17 and Maven: ${tools.hint}`)
  }
  if (existsSync(jars)) return join(jars, '*')
  mkdirSync(cache, { recursive: true })
  const folder = mkdtempSync(join(cache, 'kafka-fetch-'))
  const args = ['-q', '-B', '-f', pom, 'dependency:copy-dependencies', '-DincludeScope=runtime']
  try {
    await promisify(execFile)('mvn', [...args, `-DoutputDirectory=${folder}`], {
      ...(signal === undefined ? {} : { signal }),
    })
    // Of two processes that fetch at once one wins; a half-filled folder is never seen under the final name.
    if (!existsSync(jars)) renameSync(folder, jars)
  } catch (error) {
    if (!existsSync(jars)) {
      const hint = 'Run `mvn dependency:copy-dependencies` in servers/kafka to see why.'
      throw new WaybillError('WB_BROKER_UNREACHABLE', `Maven could not fetch Kafka's jars. ${hint}`, {
        cause: error,
      })
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
  return join(jars, '*')
}
