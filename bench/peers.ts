import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { fileURLToPath, pathToFileURL } from 'node:url'

const folder = new URL('.', import.meta.url)
const require = createRequire(import.meta.url)

interface Manifest {
  readonly dependencies: Readonly<Record<string, string>>
}

/**
 * Installs what the relay is compared with into bench/node_modules, as bench/package-lock.json has it. Returns why that did not
 * work, or nothing. Each package keeps its dependencies to itself (bench/.npmrc), so that our `pg` stays the repository's own.
 */
export async function installPeers(tell: (line: string) => void): Promise<string | undefined> {
  const { dependencies } = readJson<Manifest>(new URL('package.json', folder))
  const names = Object.entries(dependencies)
  if (names.every(([name, version]) => installedVersion(name) === version)) return undefined
  tell(
    `Installing ${names.map(([name, version]) => `${name} ${version}`).join(', ')} into bench/node_modules`,
  )
  const npm = spawn('npm', ['ci', '--no-audit', '--no-fund'], {
    cwd: fileURLToPath(folder),
    // Its stdout is not ours: that is for the answer.
    stdio: ['ignore', 2, 2],
  })
  try {
    const [code] = (await once(npm, 'exit')) as [number | null]
    return code === 0 ? undefined : `npm ci in bench/ ended with ${code}: is the registry reachable?`
  } catch (error) {
    return `npm could not be run: ${String(error)}`
  }
}

/** The package's module, whose shape the caller knows: types would have to be installed for every check of ours. */
export async function importPeer<Module>(name: string): Promise<Module> {
  return (await import(pathToFileURL(require.resolve(name)).href)) as Module
}

function installedVersion(name: string): string | undefined {
  const manifest = new URL(`node_modules/${name}/package.json`, folder)
  return existsSync(manifest) ? readJson<{ version: string }>(manifest).version : undefined
}

function readJson<Content>(url: URL): Content {
  return JSON.parse(readFileSync(url, 'utf8')) as Content
}
