import { once } from 'node:events'
import { createServer, connect, type Server, type Socket } from 'node:net'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { startProxy, type Proxy } from '../proxy.ts'
import { until } from '../until.ts'
import { blackHoleFault } from './black-hole.ts'
import { cutMidFrameFault } from './cut-mid-frame.ts'
import type { Fault } from './fault.ts'
import { halfOpenFault } from './half-open.ts'
import { latencyFault } from './latency.ts'
import { lostCommitFault, lostProduceFault, lostReplyFault } from './lost-reply.ts'
import { refuseFault } from './refuse.ts'
import { resetFault } from './reset.ts'
import { slicesFault } from './slices.ts'

let server: Server
let proxy: Proxy
const clients: Client[] = []

/** A client of the server behind the proxy, which answers in capitals. */
class Client {
  readonly socket: Socket
  readonly closed: Promise<unknown>
  readonly chunks: string[] = []

  constructor(port: number) {
    this.socket = connect(port, '127.0.0.1')
    this.socket.on('data', (chunk) => this.chunks.push(chunk.toString('latin1')))
    this.socket.on('error', () => {})
    this.closed = new Promise((resolve) => this.socket.once('close', resolve))
    clients.push(this)
  }

  get text(): string {
    return this.chunks.join('')
  }

  async ask(text: string): Promise<string> {
    const before = this.text.length
    this.socket.write(text)
    await until('the answer', () => this.text.length >= before + text.length, { everyMs: 2 })
    return this.text.slice(before)
  }
}

beforeEach(async () => {
  server = createServer((socket) => {
    socket.on('error', () => {})
    socket.on('data', (chunk) => socket.write(chunk.toString('latin1').toUpperCase(), 'latin1'))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  proxy = await startProxy({ port: (server.address() as { port: number }).port })
})

afterEach(async () => {
  for (const client of clients.splice(0)) client.socket.destroy()
  await proxy.stop()
  server.close()
})

async function connected(): Promise<Client> {
  const client = new Client(proxy.port)
  expect(await client.ask('hello')).toBe('HELLO')
  return client
}

test.each<[string, () => Fault]>([
  ['black hole database', () => blackHoleFault('database', proxy)],
  ['half open database', () => halfOpenFault('database', proxy)],
  ['latency database', () => latencyFault('database', proxy, 50)],
  ['slices database', () => slicesFault('database', proxy)],
  ['refuse database', () => refuseFault('database', proxy)],
  ['reset database', () => resetFault('database', proxy, 5)],
  ['cut database', () => cutMidFrameFault('database', proxy)],
  ['lost commit database', () => lostCommitFault('database', proxy)],
])('%s is named so, has struck nothing where nobody is, and leaves a link that works', async (name, make) => {
  const fault = make()
  expect(fault.name).toBe(name)
  const active = await fault.inject()
  expect(active.hasStruck).toBe(false)
  await active.heal()
  await connected()
})

test('what a black hole holds back arrives when it is healed', async () => {
  const client = await connected()
  const active = await blackHoleFault('database', proxy).inject()
  expect(active.hasStruck).toBe(true)
  const answer = client.ask('later')
  await new Promise((resolve) => setImmediate(resolve))
  expect(client.text).toBe('HELLO')
  await active.heal()
  expect(await answer).toBe('LATER')
})

test('a half-open connection is not noticed until it is healed, which resets it', async () => {
  const client = await connected()
  const active = await halfOpenFault('database', proxy).inject()
  client.socket.write('nobody hears this')
  await until('the end of the server side', () => proxy.connections === 1)
  expect(client.socket.destroyed).toBe(false)
  await active.heal()
  await client.closed
  expect(client.text).toBe('HELLO')
  await connected()
})

test('slices arrive as such, and whole again', async () => {
  const client = await connected()
  const active = await slicesFault('database', proxy).inject()
  const before = client.chunks.length
  expect(await client.ask('in pieces')).toBe('IN PIECES')
  expect(client.chunks.length - before).toBeGreaterThan(1)
  await active.heal()
})

test('resets hit old and new connections until they are healed', async () => {
  const client = await connected()
  const active = await resetFault('database', proxy, 5).inject()
  await client.closed
  await new Client(proxy.port).closed
  expect(active.hasStruck).toBe(true)
  await active.heal()
  await connected()
})

test('refused is who is there and who comes', async () => {
  const client = await connected()
  const active = await refuseFault('database', proxy).inject()
  await client.closed
  const late = new Client(proxy.port)
  await late.closed
  expect(late.text).toBe('')
  await active.heal()
  await connected()
})

test('half of a reply arrives, on one connection after the other, until it is healed', async () => {
  const [first, second] = [await connected(), await connected()]
  const active = await cutMidFrameFault('database', proxy).inject()
  expect(active.hasStruck).toBe(false)
  for (const client of [first, second]) {
    client.socket.write('0123456789')
    await client.closed
    expect(client.text).toBe('HELLO01234')
  }
  expect(active.hasStruck).toBe(true)
  await active.heal()
  expect(await (await connected()).ask('whole')).toBe('WHOLE')
})

test('a lost commit is one that the server has answered and the client never hears of', async () => {
  const client = await connected()
  const active = await lostCommitFault('database', proxy).inject()
  expect(await client.ask('begin\0')).toBe('BEGIN\0')
  client.socket.write('commit\0')
  await client.closed
  expect(client.text).not.toContain('COMMIT')
  expect(active.hasStruck).toBe(true)
  await active.heal()
  expect(await (await connected()).ask('commit\0')).toBe('COMMIT\0')
})

test('a lost produce is one that the broker has answered and the producer never hears of; other requests pass', async () => {
  const client = await connected()
  const active = await lostProduceFault('broker', proxy).inject()
  // A length, the number of the API, its version: metadata, then produce.
  expect(await client.ask('\0\0\0\x04\0\x03\0\0')).toBe('\0\0\0\x04\0\x03\0\0')
  expect(active.hasStruck).toBe(false)
  client.socket.write('\0\0\0\x04\0\0\0\0')
  await client.closed
  expect(client.text.endsWith('\x03\0\0')).toBe(true)
  expect(active.hasStruck).toBe(true)
  await active.heal()
})

test('a lost reply may be silence in place of a reset', async () => {
  const client = await connected()
  const match = { request: (chunk: Buffer) => chunk.includes('lose'), instead: 'silence' } as const
  const active = await lostReplyFault('lose it', proxy, match).inject()
  client.socket.write('lose')
  await until('the loss', () => active.hasStruck)
  expect(client.socket.destroyed).toBe(false)
  await active.heal()
  await client.closed
  expect(client.text).toBe('HELLO')
})
