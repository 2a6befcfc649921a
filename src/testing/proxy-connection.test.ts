import { once } from 'node:events'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { Connection } from './proxy-connection.ts'

let server: Server
const sockets: Socket[] = []

beforeEach(async () => {
  server = createServer({ allowHalfOpen: true })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
})

afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy()
  server.close()
})

/** The proxy's end of a connection, and the peer's. */
async function pair(): Promise<readonly [Socket, Socket]> {
  const accepted = once(server, 'connection') as Promise<[Socket]>
  const { port } = server.address() as { port: number }
  const peer = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
  const [own] = await accepted
  peer.on('error', () => {})
  sockets.push(own, peer)
  return [own, peer]
}

// In the same turn of the event loop: only then the FIN is asked for and not out.
test('a connection that is reset just as one end finishes is closed for good', async () => {
  const [[client, first], [upstream]] = [await pair(), await pair()]
  const connection = new Connection(client, upstream, () => {})
  const closed = [client, upstream, first].map(
    (socket) => new Promise((resolve) => socket.once('close', resolve)),
  )
  // Of the other peer nothing is asked: it has read the FIN, and reads no further.
  first.resume()
  upstream.end()
  expect(upstream.writableFinished).toBe(false)
  connection.reset()
  // Without the wait for its FIN upstream is destroyed and never closes: its reset fails with EINVAL.
  await Promise.all(closed)
})
