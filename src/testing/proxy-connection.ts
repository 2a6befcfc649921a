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
    for (const socket of [this.#client, this.#upstream]) if (!socket.destroyed) socket.resetAndDestroy()
  }

  loseServer(): void {
    this.isHalfOpen = true
    if (!this.#upstream.destroyed) this.#upstream.resetAndDestroy()
    // Read and forgotten: a full window would tell the client that something is wrong.
    this.#client.resume()
  }
}
