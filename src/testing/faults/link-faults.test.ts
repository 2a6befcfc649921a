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
import { isAnsweredProduce, lostCommitFault, lostProduceFault, lostReplyFault } from './lost-reply.ts'
import { refuseFault } from './refuse.ts'
import { resetFault } from './reset.ts'
import { slicesFault } from './slices.ts'

let server: Server
let proxy: Proxy
/** Of the server's sockets: it reads what comes, and answers nothing. */
let isDeaf = false
let unanswered = 0
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
    socket.on('data', (chunk) => {
      if (isDeaf) unanswered += 1
      else socket.write(chunk.toString('latin1').toUpperCase(), 'latin1')
    })
  })
  isDeaf = false
  unanswered = 0
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  proxy = await startProxy({ port: (server.address() as { port: number }).port })
})

afterEach(async () => {
  for (const client of clients.splice(0)) client.socket.destroy()
  await proxy.stop()
  server.close()
})

/** A Produce request as it begins, of a client without a name. */
function produce(version: number, acks: number, id: string | null = null): string {
  const head = Buffer.alloc(14)
  head.writeInt16BE(version, 6)
  const length = (id?.length ?? -1) + 1
  const compact = length < 128 ? [length] : [(length & 0x7f) | 0x80, length >> 7]
  const plain = Buffer.alloc(2)
  plain.writeInt16BE(id?.length ?? -1)
  const tail = Buffer.alloc(2)
  tail.writeInt16BE(acks)
  const lengths = version >= 9 ? Buffer.from([0, ...compact]) : plain
  return Buffer.concat([head, lengths, Buffer.from(id ?? ''), tail]).toString('latin1')
}

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
  // A length, the number of the API, its version: metadata.
  expect(await client.ask('\0\0\0\x04\0\x03\0\0')).toBe('\0\0\0\x04\0\x03\0\0')
  // Nor one that no broker answers: the reply behind it is another's.
  expect(await client.ask(produce(9, 0))).toBe(produce(9, 0))
  expect(active.hasStruck).toBe(false)
  client.socket.write(produce(9, -1))
  await client.closed
  expect(client.text.endsWith(produce(9, 0))).toBe(true)
  expect(active.hasStruck).toBe(true)
  await active.heal()
})

test('a request whose connection ends before its reply keeps no other from losing one', async () => {
  const [first, second] = [await connected(), await connected()]
  const active = await lostProduceFault('broker', proxy).inject()
  isDeaf = true
  first.socket.write(produce(9, 1))
  await until('the request', () => unanswered === 1)
  first.socket.destroy()
  await until('the end of the first', () => proxy.connections === 1)
  isDeaf = false
  second.socket.write(produce(9, 1))
  await second.closed
  expect(active.hasStruck).toBe(true)
  await active.heal()
})

test.each([
  [7, null, -1, true],
  [7, 'relay-3', 1, true],
  [7, 'relay-3', 0, false],
  [9, null, -1, true],
  [9, null, 0, false],
  [11, 'a'.repeat(300), -1, true],
  [11, 'a'.repeat(300), 0, false],
])('a Produce of version %i of the transaction %s with acks %i is answered: %s', (version, id, acks, is) => {
  expect(isAnsweredProduce(Buffer.from(produce(version, acks, id), 'latin1'))).toBe(is)
})

test('what is no whole beginning of a Produce is none that is answered', () => {
  const whole = Buffer.from(produce(9, 1, 'relay'), 'latin1')
  for (let length = 0; length < whole.length; length++)
    expect(isAnsweredProduce(whole.subarray(0, length))).toBe(false)
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
