import { posix } from 'node:path'
import { importsOf, type Import } from './imports.ts'
import { drivers, entries, kernelBuiltins, layers } from './table.ts'

/** Path below `src` (with `/`) to source text. */
export type SourceTree = ReadonlyMap<string, string>

export interface LayerReport {
  readonly violations: readonly string[]
  readonly files: number
  readonly imports: number
}

/** Every import of every file against the table, then the whole graph of every entry. */
export function checkLayers(tree: SourceTree): LayerReport {
  const graph = new Map<string, readonly Import[]>()
  for (const [path, source] of tree) if (!isTest(path)) graph.set(path, importsOf(path, source))

  const violations: string[] = []
  for (const [path, imports] of graph) {
    const layer = layerOf(path)
    if (layer !== null && layers[layer] === undefined) {
      violations.push(`${path}: folder "${layer}" is not in the layer table`)
      continue
    }
    if (layer === null && entries[path] === undefined) {
      violations.push(`${path}: this entry file is not in the entry table`)
    }
    for (const found of imports) {
      const wrong = layer === null ? wrongInEntry(path, found, tree) : wrongInLayer(path, layer, found, tree)
      if (wrong !== null) violations.push(`${path}:${found.line}: ${wrong}`)
    }
  }
  for (const [entry, allowed] of Object.entries(entries)) {
    if (graph.has(entry)) violations.push(...walkEntry(entry, allowed, graph))
  }
  const imports = [...graph.values()].reduce((sum, list) => sum + list.length, 0)
  return { violations, files: graph.size, imports }
}

function wrongInEntry(path: string, found: Import, tree: SourceTree): string | null {
  if (found.specifier === null) return 'an entry file has no logic: it imports by name only'
  if (!isRelative(found.specifier)) return `an entry file imports only files of src, not "${found.specifier}"`
  return missing(path, found.specifier, tree)
}

function wrongInLayer(path: string, layer: string, found: Import, tree: SourceTree): string | null {
  const rule = layers[layer]!
  const { specifier } = found
  if (specifier === null)
    return rule.loadsByPath === true ? null : `${layer} may not import by a computed name`
  if (specifier.startsWith('node:')) return wrongBuiltin(layer, rule.loadsByPath === true, specifier)
  if (!isRelative(specifier)) return wrongPackage(path, layer, specifier)

  const target = resolve(path, specifier)
  const lost = missing(path, specifier, tree)
  if (lost !== null) return lost
  if (isTest(target)) return `code may not import the test "${target}"`
  const targetLayer = layerOf(target)
  if (targetLayer === null) {
    return rule.usesEntries === true ? null : `${layer} may not import the entry file "${target}"`
  }
  if (targetLayer === layer) {
    if (rule.hasSeparateFolders !== true || adapterOf(path) === adapterOf(target)) return null
    return `"${adapterOf(path)}" may not import "${adapterOf(target)}": adapters never import each other`
  }
  return rule.layers.includes(targetLayer) ? null : `${layer} may not import ${targetLayer} ("${target}")`
}

function wrongBuiltin(layer: string, loadsByPath: boolean, specifier: string): string | null {
  if (layer === 'kernel' && !kernelBuiltins.includes(specifier))
    return `kernel does no I/O: not "${specifier}"`
  // `createRequire` would load packages where this check cannot see them.
  return specifier === 'node:module' && !loadsByPath ? `${layer} may not import "node:module"` : null
}

function wrongPackage(path: string, layer: string, specifier: string): string | null {
  const name = packageOf(specifier)
  const allowed = [...layers[layer]!.packages, ...(drivers[adapterOf(path)] ?? [])]
  return allowed.includes(name) ? null : `${adapterOf(path)} may not import the package "${name}"`
}

function walkEntry(
  entry: string,
  allowed: readonly string[],
  graph: ReadonlyMap<string, readonly Import[]>,
): string[] {
  const from = new Map<string, string | null>([[entry, null]])
  const violations: string[] = []
  for (const path of from.keys()) {
    for (const { specifier } of graph.get(path) ?? []) {
      if (specifier === null || specifier.startsWith('node:')) continue
      if (!isRelative(specifier)) {
        const name = packageOf(specifier)
        if (!allowed.includes(name))
          violations.push(`${entry}: reaches the package "${name}" by ${way(path, from)}`)
        continue
      }
      const target = resolve(path, specifier)
      if (!from.has(target)) from.set(target, path)
    }
  }
  return violations
}

function way(path: string, from: ReadonlyMap<string, string | null>): string {
  const steps = [path]
  for (let at = from.get(path); at !== null && at !== undefined; at = from.get(at)) steps.unshift(at)
  return steps.join(' → ')
}

function missing(path: string, specifier: string, tree: SourceTree): string | null {
  const target = resolve(path, specifier)
  if (target.startsWith('../')) return `"${specifier}" lies outside src`
  return tree.has(target) ? null : `"${specifier}" is not a file of src`
}

function isRelative(specifier: string): boolean {
  return specifier.startsWith('./') || specifier.startsWith('../')
}

function resolve(path: string, specifier: string): string {
  return posix.join(posix.dirname(path), specifier)
}

function layerOf(path: string): string | null {
  return path.includes('/') ? path.slice(0, path.indexOf('/')) : null
}

/** `stores/postgres` for a file in there; the layer alone for a file that stands beside the adapters' folders. */
function adapterOf(path: string): string {
  const [layer, folder, file] = path.split('/')
  return file === undefined
    ? layer!
    : layers[layer!]?.hasSeparateFolders === true
      ? `${layer}/${folder}`
      : layer!
}

function packageOf(specifier: string): string {
  return specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/')
}

function isTest(path: string): boolean {
  return path.endsWith('.test.ts')
}
