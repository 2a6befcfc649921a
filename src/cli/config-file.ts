import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { WaybillConfig } from '../app/config.ts'
import { WaybillError } from '../kernel/errors.ts'

const names = ['waybill.config.ts', 'waybill.config.mts', 'waybill.config.js', 'waybill.config.mjs']

/**
 * The default export of the configuration file: the one named, or the first of `waybill.config.ts`, `.mts`, `.js`, `.mjs` in
 * `folder`. Throws `WB_INVALID_CONFIG` where there is none, or it cannot be loaded.
 */
export async function loadConfig(
  named: string | undefined,
  folder: string = process.cwd(),
): Promise<WaybillConfig> {
  const path = find(named, folder)
  let loaded: { readonly default?: unknown }
  try {
    loaded = (await orNeverEnds(import(pathToFileURL(path).href))) as { readonly default?: unknown }
  } catch (cause) {
    // As `npm init` leaves a folder.
    const hint =
      cause instanceof SyntaxError && cause.message.includes('outside a module')
        ? ' Its folder is not one of ES modules: npm pkg set type=module'
        : ''
    throw new WaybillError(
      'WB_INVALID_CONFIG',
      `The configuration file ${path} could not be loaded.${hint}`,
      { cause },
    )
  }
  if (typeof loaded.default !== 'object' || loaded.default === null) {
    throw new WaybillError(
      'WB_INVALID_CONFIG',
      `The configuration file ${path} has no default export: export default defineConfig({ … }).`,
    )
  }
  return loaded.default as WaybillConfig
}

/**
 * With nothing left to wait for, Node ends a process in which a top-level await is pending, and its warning names our file, which waits for
 * the import. Just before it does so there is time to say which one never ends.
 */
async function orNeverEnds<T>(loading: Promise<T>): Promise<T> {
  const idle = Promise.withResolvers<never>()
  const onIdle = (): void =>
    idle.reject(
      new Error('It did not finish loading: a top-level await in it, or in what it imports, never ends.'),
    )
  process.once('beforeExit', onIdle)
  try {
    return await Promise.race([loading, idle.promise])
  } finally {
    process.off('beforeExit', onIdle)
  }
}

function find(named: string | undefined, folder: string): string {
  if (named !== undefined) {
    const path = resolve(folder, named)
    if (existsSync(path)) return path
    throw new WaybillError('WB_INVALID_CONFIG', `There is no configuration file ${path}: check --config.`)
  }
  const path = names.map((name) => join(folder, name)).find((one) => existsSync(one))
  if (path !== undefined) return path
  throw new WaybillError(
    'WB_INVALID_CONFIG',
    `There is no ${names[0]} in ${folder}: go to the folder that has it, or name it with --config.`,
  )
}
