import { connect, createServer, type Server, type Socket } from 'node:net'
import { freePort } from './ports.ts'
import { Connection } from './proxy-connection.ts'
import { Pump, type Weather } from './proxy-pump.ts'
import { until } from './until.ts'

export interface ProxyTarget {
  readonly port: number
  /** @default '127.0.0.1' */
  readonly host?: string
}

/** Which reply is meant. A chunk is what TCP delivers at once, so look for something short. */
export interface ReplyMatch {
  /** Accepts the request; the reply is what the server sends next. */
  readonly request?: (chunk: Buffer) => boolean
  /** Accepts the reply. */
  readonly reply?: (chunk: Buffer) => boolean
  /** What the client gets in its place: a reset, or nothing at all until {@link Proxy.heal}. @default 'reset' */
  readonly instead?: 'reset' | 'silence'
}

/** A TCP proxy in this process whose faults can be turned on and off. */
export interface Proxy extends AsyncDisposable {
  readonly port: number
  /** Open connections now. */
  readonly connections: number
  /** Connections accepted so far: a test can tell that something has reconnected. */
  readonly accepted: number
  /** RST to both ends of every open connection. New ones are let through. */
  reset(): void
  /** Holds everything back, both ways, on old and new connections, as a partition does; `heal` lets it flow on. */
  blackHole(): void
  /**
   * The server loses its connections and the clients do not notice: what they send, on old and new connections, goes
   * nowhere. `heal` resets these connections.
   */
  halfOpen(): void
  /** Every chunk arrives so much later, both ways. 0 ends it. */
  latency(ms: number): void
  /** Chunks arrive in pieces of so many bytes. 0 ends it. */
  slice(bytes: number): void
  /** Half of the server's next chunk arrives, then a reset. Resolves when it has happened. */
  cutMidFrame(): Promise<void>
  /** The server does what it was asked, and its reply is lost. Resolves when it has happened. */
  dropReplies(match: ReplyMatch): Promise<void>
  /** New connections are refused; open ones stay. */
  refuse(): void
  /** Ends every fault. */
  heal(): Promise<void>
  /** Resets all connections and stops listening. */
  stop(): Promise<void>
}

/** Listens on a loopback port and passes everything on to `target`. */
export async function startProxy(target: ProxyTarget): Promise<Proxy> {
  const proxy = new TcpProxy(target, await freePort())
  await proxy.heal()
  return proxy
}

class TcpProxy implements Proxy {
  readonly port: number
  accepted = 0
  readonly #target: ProxyTarget
  readonly #open = new Map<Pump, Connection>()
  readonly #weather: Weather = {
    gate: undefined,
    latencyMs: 0,
    sliceBytes: 0,
    cut: undefined,
    drops: new Set(),
  }
  #server: Server | undefined
  #openGate: () => void = () => {}
  #losesServers = false

  constructor(target: ProxyTarget, port: number) {
    this.#target = target
    this.port = port
  }

  get connections(): number {
    return this.#open.size
  }

  reset(): void {
    for (const connection of this.#open.values()) connection.reset()
  }

  blackHole(): void {
    if (this.#weather.gate !== undefined) return
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#weather.gate = promise
    this.#openGate = resolve
  }

  halfOpen(): void {
    this.#losesServers = true
    for (const connection of this.#open.values()) connection.loseServer()
  }

  latency(ms: number): void {
    this.#weather.latencyMs = ms
  }

  slice(bytes: number): void {
    this.#weather.sliceBytes = bytes
  }

  cutMidFrame(): Promise<void> {
    return new Promise((resolve) => {
      this.#weather.cut = resolve
    })
  }

  dropReplies({ request, reply, instead = 'reset' }: ReplyMatch): Promise<void> {
    return new Promise((resolve) => {
      const happened = (pump: Pump): void => {
        const connection = this.#open.get(pump)
        if (instead === 'silence') connection?.loseServer()
        else connection?.reset()
        resolve()
      }
      this.#weather.drops.add({ request, reply, happened, awaitedBy: undefined })
    })
  }

  refuse(): void {
    // The port is closed at once; the server object lives on until its open connections have ended.
    this.#server?.close()
    this.#server = undefined
  }

  async heal(): Promise<void> {
    Object.assign(this.#weather, { gate: undefined, latencyMs: 0, sliceBytes: 0, cut: undefined })
    this.#weather.drops.clear()
    this.#losesServers = false
    for (const connection of this.#open.values()) if (connection.isHalfOpen) connection.reset()
    this.#openGate()
    if (this.#server !== undefined) return
    const server = createServer({ allowHalfOpen: true }, (client) => {
      this.#accept(client)
    })
    this.#server = server
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen(this.port, '127.0.0.1', resolve)
    })
  }

  async stop(): Promise<void> {
    this.refuse()
    this.reset()
    this.#weather.gate = undefined
    this.#openGate()
    await until('the end of all proxied connections', () => this.#open.size === 0)
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop()
  }

  #accept(client: Socket): void {
    this.accepted++
    const { host = '127.0.0.1', port } = this.#target
    const upstream = connect({ host, port, allowHalfOpen: true })
    const connection = new Connection(client, upstream, () => this.#open.delete(pump))
    const pump = new Pump(this.#weather, client, upstream, () => {
      connection.reset()
    })
    this.#open.set(pump, connection)
    if (this.#losesServers) connection.loseServer()
  }
}
