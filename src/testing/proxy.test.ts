import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { startProxy, type Proxy } from './proxy.ts'
import { until } from './until.ts'

interface Scene {
  readonly proxy: Proxy
  /** What the server received, of all connections. */
  readonly received: () => string
  readonly servers: readonly Socket[]
  readonly client: () => Promise<Client>
}

interface Client {
  readonly socket: Socket
  readonly chunks: readonly Buffer[]
  readonly text: () => string
  /** How it ended: an error code, `closed`, or nothing yet. */
  readonly end: () => string | undefined
}

/** An echo server that answers each chunk with `<chunk>`, behind a proxy. */
async function scene(): Promise<Scene> {
  let received = ''
  const servers: Socket[] = []
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    servers.push(socket)
    socket.on('data', (chunk) => {
      received += chunk.toString()
      socket.write(`<${chunk.toString()}>`)
    })
    socket.on('end', () => socket.end('bye'))
    socket.on('error', () => {})
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const proxy = await startProxy({ port: (server.address() as AddressInfo).port })
  onTestFinished(async () => {
    await proxy.stop()
    for (const socket of servers) socket.destroy()
    server.close()
  })
  const client = async (): Promise<Client> => {
    const socket = connect({ port: proxy.port, host: '127.0.0.1' })
    const chunks: Buffer[] = []
    let end: string | undefined
    socket.on('data', (chunk) => chunks.push(chunk))
    socket.on('error', (error: NodeJS.ErrnoException) => (end = error.code))
    socket.on('close', () => (end ??= 'closed'))
    await once(socket, 'connect')
    onTestFinished(() => {
      socket.destroy()
    })
    return { socket, chunks, text: () => Buffer.concat(chunks).toString(), end: () => end }
  }
  return { proxy, received: () => received, servers, client }
}

async function echoes(client: Client, word: string): Promise<void> {
  client.socket.write(word)
  await until(`an echo of ${word}`, () => client.text().endsWith(`<${word}>`))
}

test('without a fault all passes both ways, the end of each side too', async () => {
  const { proxy, client } = await scene()
  const one = await client()
  await echoes(one, 'a')
  one.socket.end('b')
  await until('the end', () => one.end())
  expect(one.text()).toBe('<a><b>bye')
  expect(one.end()).toBe('closed')
  await until('no connection', () => proxy.connections === 0)
  expect(proxy.accepted).toBe(1)
})

test('much data arrives whole and in order', async () => {
  const { client, servers } = await scene()
  const one = await client()
  await echoes(one, 'a')
  const block = Buffer.alloc(4_000_000, 'xyz')
  servers[0]!.write(block)
  await until('all of it', () => one.text().length === 3 + block.length)
  expect(one.text().slice(3)).toBe(block.toString())
})

test('reset breaks open connections on both sides and lets new ones through', async () => {
  const { proxy, client, servers } = await scene()
  const one = await client()
  await echoes(one, 'a')
  proxy.reset()
  await until('the reset', () => one.end())
  expect(one.end()).toBe('ECONNRESET')
  await until('the reset on the other side', () => servers[0]!.destroyed)
  await echoes(await client(), 'b')
  expect(proxy.accepted).toBe(2)
})

test('a black hole holds old and new connections, and what was sent arrives when it is healed', async () => {
  const { proxy, client, received } = await scene()
  const one = await client()
  await echoes(one, 'a')
  proxy.blackHole()
  proxy.blackHole()
  one.socket.write('b')
  const two = await client()
  two.socket.write('c')
  await until('the second connection', () => proxy.accepted === 2)
  expect(received()).toBe('a')
  await proxy.heal()
  await until('both', () => one.text() === '<a><b>' && two.text() === '<c>')
})

test('a half-open connection takes everything and gives nothing; healing resets it', async () => {
  const { proxy, client, received, servers } = await scene()
  const one = await client()
  await echoes(one, 'a')
  proxy.halfOpen()
  await until('the reset on the other side', () => servers[0]!.destroyed)
  const two = await client()
  await new Promise((resolve) => one.socket.write('b', resolve))
  await new Promise((resolve) => two.socket.write('c', resolve))
  await until('the second connection', () => proxy.accepted === 2)
  expect([one.end(), two.end()]).toEqual([undefined, undefined])
  await proxy.heal()
  await until('both resets', () => one.end() !== undefined && two.end() !== undefined)
  expect(received()).toBe('a')
  await echoes(await client(), 'd')
})

test('latency delays what is sent, without loss or change of order', async () => {
  const { proxy, client } = await scene()
  const one = await client()
  proxy.latency(30)
  const begun = performance.now()
  await echoes(one, 'a')
  // There and back; it cannot be sooner, however fast or slow the machine is.
  expect(performance.now() - begun).toBeGreaterThanOrEqual(58)
  proxy.latency(0)
  await echoes(one, 'b')
  expect(one.text()).toBe('<a><b>')
})

test('slices arrive one by one', async () => {
  const { proxy, client } = await scene()
  const one = await client()
  await echoes(one, 'a')
  proxy.slice(1)
  one.socket.write('bcd')
  await until('all slices', () => one.text().replaceAll(/[<>]/gu, '') === 'abcd')
  expect(one.chunks.length).toBeGreaterThan(3)
})

test('a reply is cut in the middle, then the connection breaks', async () => {
  const { proxy, client } = await scene()
  const one = await client()
  const cut = proxy.cutMidFrame()
  one.socket.write('abcdef')
  await cut
  await until('the reset', () => one.end())
  expect(one.text()).toBe('<abc')
  await echoes(await client(), 'b')
})

test('the reply to a request is lost: the server did it, the client gets a reset', async () => {
  const { proxy, client, received } = await scene()
  const one = await client()
  const two = await client()
  const dropped = proxy.dropReplies({ request: (chunk) => chunk.includes('COMMIT') })
  await echoes(one, 'BEGIN')
  one.socket.write('COMMIT')
  await dropped
  await until('the reset', () => one.end())
  expect(received()).toBe('BEGINCOMMIT')
  expect(one.text()).toBe('<BEGIN>')
  // It happens once, and to nobody else.
  await echoes(two, 'COMMIT')
})

test('a reply can be told by itself, and silence can stand in place of the reset', async () => {
  const { proxy, client, received } = await scene()
  const one = await client()
  const dropped = proxy.dropReplies({ reply: (chunk) => chunk.includes('done'), instead: 'silence' })
  await echoes(one, 'a')
  one.socket.write('done')
  await dropped
  expect(received()).toBe('adone')
  expect([one.text(), one.end()]).toEqual(['<a>', undefined])
  await proxy.heal()
  await until('the reset', () => one.end())
})

test('request and reply together: only that reply of that connection', async () => {
  const { proxy, client } = await scene()
  const one = await client()
  const dropped = proxy.dropReplies({
    request: (chunk) => chunk.includes('b'),
    reply: (chunk) => chunk.includes('c'),
  })
  await echoes(one, 'c')
  await echoes(one, 'b')
  one.socket.write('c')
  await dropped
  await until('the reset', () => one.end())
  expect(one.text()).toBe('<c><b>')
})

test('a reply that had not come when it was healed arrives', async () => {
  const { proxy, client } = await scene()
  const one = await client()
  void proxy.dropReplies({
    request: (chunk) => chunk.includes('ask'),
    reply: (chunk) => chunk.includes('late'),
  })
  await echoes(one, 'ask')
  await proxy.heal()
  await echoes(one, 'late')
  expect(one.end()).toBeUndefined()
})

test('refusing turns new connections away and leaves open ones alone, until it is healed', async () => {
  const { proxy, client } = await scene()
  const one = await client()
  await echoes(one, 'a')
  proxy.refuse()
  await expect(client()).rejects.toMatchObject({ code: 'ECONNREFUSED' })
  await echoes(one, 'b')
  await proxy.heal()
  await echoes(await client(), 'c')
})

test('a target that is not there breaks the connection', async () => {
  const gone = createServer().listen(0, '127.0.0.1')
  await once(gone, 'listening')
  const { port } = gone.address() as AddressInfo
  gone.close()
  await once(gone, 'close')
  await using proxy = await startProxy({ port })
  const socket = connect({ port: proxy.port, host: '127.0.0.1' })
  const [error] = (await once(socket, 'error')) as [NodeJS.ErrnoException]
  expect(error.code).toBe('ECONNRESET')
})

test('stopping ends connections, in a black hole too, and frees the port', async () => {
  const { proxy, client } = await scene()
  const one = await client()
  await echoes(one, 'a')
  proxy.blackHole()
  one.socket.write('b')
  await proxy.stop()
  expect(proxy.connections).toBe(0)
  await expect(client()).rejects.toMatchObject({ code: 'ECONNREFUSED' })
})
