import { describe, expect, it } from 'vitest'
import { checkLayers, type LayerReport } from './check.ts'
import { layers } from './table.ts'

/** A small tree in which everything is allowed; each test plants one wrong file in it. */
const clean = {
  'kernel/ids.ts': `import { randomUUID } from 'node:crypto'\nexport const id = randomUUID`,
  'ports/store.ts': `import type { id } from '../kernel/ids.ts'\nexport type Store = typeof id`,
  'outbox/publish.ts': `import type { Store } from '../ports/store.ts'\nexport type Publish = Store`,
  'relay/mind.ts': `export type { Publish } from '../outbox/publish.ts'`,
  'stores/postgres/store.ts': `import { Pool } from 'pg'\nimport '../../ports/store.ts'\nexport { Pool }`,
  'stores/mysql/store.ts': `export const mysql = 1`,
  'stores/postgres/sql/text.ts': `export const text = ''`,
  'transports/kafka/client.ts': `export const load = () => import('@platformatic/kafka')`,
  'app/create.ts': `import '../relay/mind.ts'\nexport const create = 1`,
  'demo/shop.ts': `import { create } from '../index.ts'\nexport const shop = create`,
  'cli/main.ts': `import { Command } from 'commander'\nexport const cli = new Command()`,
  'testing/proxy.ts': `export const proxy = 1`,
  'index.ts': `export { create } from './app/create.ts'`,
  'postgres.ts': `export * from './stores/postgres/store.ts'`,
  'kafka.ts': `export * from './transports/kafka/client.ts'`,
} satisfies Record<string, string>

function check(planted: Record<string, string>): LayerReport {
  return checkLayers(new Map(Object.entries({ ...clean, ...planted })))
}

describe('the layer check', () => {
  it('finds nothing wrong with a tree that keeps the table, and has read all of it', () => {
    expect(check({})).toEqual({ violations: [], files: 15, imports: 13 })
  })

  it('lets a test beside a file import anything', () => {
    expect(check({ 'kernel/ids.test.ts': `import '../app/create.ts'\nimport 'pg'` }).violations).toEqual([])
  })

  it.each([
    ['kernel imports ports', 'kernel/x.ts', `import '../ports/store.ts'`, 'kernel may not import ports'],
    ['ports import the outbox', 'ports/x.ts', `import '../outbox/publish.ts'`, 'ports may not import outbox'],
    ['outbox imports relay', 'outbox/x.ts', `import '../relay/mind.ts'`, 'outbox may not import relay'],
    [
      'relay imports a store',
      'relay/x.ts',
      `import '../stores/mysql/store.ts'`,
      'relay may not import stores',
    ],
    [
      'relay imports the consumer',
      'consumer/x.ts',
      `import '../relay/mind.ts'`,
      'consumer may not import relay',
    ],
    [
      'a store imports the app',
      'stores/postgres/x.ts',
      `import '../../app/create.ts'`,
      'stores may not import app',
    ],
    [
      'a store imports a store',
      'stores/mysql/x.ts',
      `import '../postgres/store.ts'`,
      'adapters never import each',
    ],
    [
      'a store imports a transport',
      'stores/mysql/x.ts',
      `import '../../transports/kafka/client.ts'`,
      'transports',
    ],
    ['the app imports the demo', 'app/x.ts', `import '../demo/shop.ts'`, 'app may not import demo'],
    ['the app imports testing', 'app/x.ts', `import '../testing/proxy.ts'`, 'app may not import testing'],
    [
      'the demo imports a store',
      'demo/x.ts',
      `import '../stores/mysql/store.ts'`,
      'demo may not import stores',
    ],
    ['core imports an entry file', 'relay/x.ts', `import '../index.ts'`, 'may not import the entry file'],
    ['code imports a test', 'relay/x.ts', `import './x.test.ts'`, 'is not a file of src'],
    ['an unknown folder', 'utils/x.ts', ``, 'folder "utils" is not in the layer table'],
    ['an unknown entry file', 'extra.ts', `export * from './app/create.ts'`, 'not in the entry table'],
    ['an import from outside src', 'app/x.ts', `import '../../scripts/root.ts'`, 'lies outside src'],
    ['a file that is not there', 'app/x.ts', `import './gone.ts'`, 'is not a file of src'],
    ['I/O in the kernel', 'kernel/x.ts', `import 'node:fs'`, 'kernel does no I/O'],
    ['createRequire in core', 'relay/x.ts', `import { createRequire } from 'node:module'`, 'node:module'],
    ['a package in core', 'app/x.ts', `import 'commander'`, 'may not import the package "commander"'],
    [
      'a driver in another adapter',
      'stores/mysql/x.ts',
      `import 'pg'`,
      'stores/mysql may not import the package',
    ],
    [
      'a scoped package by a subpath',
      'outbox/x.ts',
      `import '@platformatic/kafka/a'`,
      '"@platformatic/kafka"',
    ],
    ['a terminal package in the demo', 'demo/x.ts', `import 'log-update'`, 'package "log-update"'],
    ['an entry that imports a package', 'local.ts', `export * from 'pg'`, 'imports only files of src'],
    [
      'an entry that computes',
      'local.ts',
      `export const x = import(String(1))`,
      'an entry file has no logic',
    ],
  ])('catches it when %s', (_what, path, source, expected) => {
    const { violations } = check({ [path]: source })
    expect(violations.filter((line) => line.startsWith(path) && line.includes(expected))).toHaveLength(1)
  })

  it.each([
    ['a type import', `import type { create } from '../app/create.ts'`],
    ['an inline import type', `export type X = import('../app/create.ts').X`],
    ['an export from', `export { create } from '../app/create.ts'`],
    ['an export of all', `export * from '../app/create.ts'`],
    ['a dynamic import', `export const load = () => import('../app/create.ts')`],
    ['a dynamic import by a template', 'export const load = () => import(`../app/create.ts`)'],
    ['a require', `require('../app/create.ts')`],
    ['an import assignment', `import x = require('../app/create.ts')`],
  ])('sees %s', (_what, source) => {
    expect(check({ 'relay/x.ts': source }).violations).toEqual([
      expect.stringMatching(/^relay\/x\.ts:1: relay may not import app/u),
    ])
  })

  it('refuses an import by a computed name where the check could not follow it', () => {
    const source = `const name = 'pg'\nexport const load = () => import(name)`
    expect(check({ 'outbox/x.ts': source }).violations).toEqual([
      'outbox/x.ts:2: outbox may not import by a computed name',
    ])
  })

  it('follows the main entry to a package however far away, and says by which way', () => {
    const { violations } = check({
      'app/create.ts': `export const create = () => import('./deep.ts')`,
      'app/deep.ts': `import 'pg'`,
    })
    expect(violations).toContain(
      'index.ts: reaches the package "pg" by index.ts → app/create.ts → app/deep.ts',
    )
  })

  it('finds another driver behind an adapter entry', () => {
    const { violations } = check({ 'stores/postgres/store.ts': `import '@platformatic/kafka'` })
    expect(violations).toContain(
      'postgres.ts: reaches the package "@platformatic/kafka" by postgres.ts → stores/postgres/store.ts',
    )
  })

  it('does not pass over a file that does not parse', () => {
    expect(() => check({ 'relay/x.ts': 'import {' })).toThrow('relay/x.ts does not parse')
  })

  it('names in its table only folders that are in its table', () => {
    for (const layer of Object.values(layers))
      for (const name of layer.layers) expect(layers).toHaveProperty(name)
  })
})
