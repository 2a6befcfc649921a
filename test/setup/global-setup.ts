import { mkdirSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { resolve } from 'node:path'
import type { TestProject } from 'vitest/node'
import { describeError } from '../../src/kernel/errors.ts'
import { findJavaAndMaven } from '../../src/testing/kafka-jars.ts'
import { startKafka } from '../../src/testing/kafka-server.ts'
import { findPgbouncer, pgbouncerHint } from '../../src/testing/pgbouncer-server.ts'
import { findPostgres } from '../../src/testing/postgres-binaries.ts'
import { startPostgres } from '../../src/testing/postgres-server.ts'
import { memoryFolder } from './memory-folder.ts'

/** A server that test files may share: who needs it first has it started. */
export interface SharedServer {
  readonly name: string
  readonly available: boolean
  /** How to get it, where it is not available. */
  readonly hint: string
}

declare module 'vitest' {
  interface ProvidedContext {
    waybillServers: readonly SharedServer[]
    /** A folder that outlives the run: what the first of many children compiled is there for the next. */
    waybillCompileCache: string
    /** Where the process that holds the shared servers can be asked for one. */
    waybillServerDesk: string
  }
}

interface Running extends AsyncDisposable {
  readonly address: string
}

const start: Readonly<Record<string, () => Promise<Running>>> = {
  // Without fsync: files whose tests pull the plug start a server of their own.
  postgres: async () => {
    const server = await startPostgres({ durable: false, settings: { max_connections: '300' } })
    return { address: server.url, [Symbol.asyncDispose]: server.stop }
  },
  kafka: async () => {
    const server = await startKafka()
    return { address: server.brokers.join(','), [Symbol.asyncDispose]: server.stop }
  },
}

async function survey(): Promise<readonly SharedServer[]> {
  const java = findJavaAndMaven()
  const postgres = await findPostgres().then(
    () => '',
    (error: unknown) => describeError(error).message,
  )
  return [
    { name: 'postgres', available: postgres === '', hint: postgres },
    { name: 'kafka', available: java.isAvailable, hint: java.hint },
    { name: 'pgbouncer', available: findPgbouncer() !== undefined, hint: pgbouncerHint },
  ]
}

/** Says which test servers can run, demands those that must, and starts each shared one when it is first asked for. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const servers = await survey()
  mkdirSync('.cache', { recursive: true })
  writeFileSync('.cache/servers.json', `${JSON.stringify(servers, null, 2)}\n`)
  const demanded = (process.env['WAYBILL_TEST_DEMAND'] ?? '').split(',').filter((name) => name !== '')
  for (const name of demanded) {
    const server = servers.find((one) => one.name === name)
    if (server === undefined) throw new Error(`WAYBILL_TEST_DEMAND names "${name}", which is no test server.`)
    if (!server.available)
      throw new Error(`The test server "${name}" is demanded and missing: ${server.hint}`)
  }

  const folder = process.env['TMPDIR'] === undefined ? memoryFolder() : undefined
  if (folder !== undefined) process.env['TMPDIR'] = folder.path

  const running = new Map<string, Promise<Running>>()
  // Test files run in processes of their own; a server they share must be started by the one that outlives them.
  const desk = createServer((request, response) => {
    // A connection kept for the next question may be closed here just as that is on its way.
    response.setHeader('connection', 'close')
    const name = request.url?.slice(1) ?? ''
    const launch = start[name]
    if (launch === undefined) {
      response.writeHead(404).end(`no test server "${name}"`)
      return
    }
    const server = running.get(name) ?? launch()
    running.set(name, server)
    server.then(
      ({ address }) => response.end(address),
      (error: unknown) => response.writeHead(500).end(describeError(error, 5000).message),
    )
  })
  await new Promise<void>((resolve) => desk.listen(0, '127.0.0.1', resolve))
  project.provide('waybillServers', servers)
  project.provide('waybillCompileCache', process.env['NODE_COMPILE_CACHE'] ?? resolve('.cache', 'compile'))
  project.provide('waybillServerDesk', `http://127.0.0.1:${(desk.address() as AddressInfo).port}`)

  return async () => {
    desk.closeAllConnections()
    desk.close()
    const started = await Promise.allSettled(running.values())
    for (const one of started) if (one.status === 'fulfilled') await one.value[Symbol.asyncDispose]()
    folder?.[Symbol.dispose]()
  }
}
