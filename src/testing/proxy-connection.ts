import type { Socket } from 'node:net'

/** The two sockets of a proxied connection, which break together. */
export class Connection {
  readonly #client: Socket
  readonly #upstream: Socket
  isHalfOpen = false

  constructor(client: Socket, upstream: Socket, onClose: () => void) {
    this.#client = client
    this.#upstream = upstream
    for (const socket of [client, upstream]) {
      socket.setNoDelay(true)
      socket.on('error', () => {
        // One end is broken, so the other breaks; but the client of a half-open connection must not notice.
        if (!this.isHalfOpen) this.reset()
      })
      socket.once('close', () => {
        if (client.destroyed && upstream.destroyed) onClose()
      })
    }
  }

  reset(): void {
    for (const socket of [this.#client, this.#upstream]) reset(socket)
  }

  loseServer(): void {
    this.isHalfOpen = true
    reset(this.#upstream)
    // Read and forgotten: a full window would tell the client that something is wrong.
    this.#client.resume()
  }
}

/**
 * RST, once a FIN that is on its way is out. In between libuv refuses it with EINVAL (uv_tcp_close_reset), and Node, which takes the socket
 * as closing from then on, never closes it: no `close` comes, and the process waits at its end for that handle for ever, at full speed.
 */
function reset(socket: Socket): void {
  if (socket.destroyed) return
  const { writableEnded, writableFinished, writableLength } = socket
  if (writableEnded && !writableFinished && writableLength === 0)
    socket.once('finish', () => {
      reset(socket)
    })
  else socket.resetAndDestroy()
}
