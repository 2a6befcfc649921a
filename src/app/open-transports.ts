import type {
  Dispatcher,
  FencedPublisher,
  Publisher,
  Transport,
  TransportContext,
  TransportDefinition,
} from '../ports/transport.ts'
import { WaybillError } from '../kernel/errors.ts'

/** The transports of an instance: each is opened when it is first used, and all are closed together. */
export class OpenTransports {
  readonly #definitions: ReadonlyMap<string, TransportDefinition>
  readonly #context: TransportContext
  readonly #opened = new Map<string, Transport>()

  constructor(definitions: ReadonlyMap<string, TransportDefinition>, context: TransportContext) {
    this.#definitions = definitions
    this.#context = context
  }

  get(name: string): Transport {
    let transport = this.#opened.get(name)
    if (transport === undefined) {
      transport = this.#definitions.get(name)!.open(this.#context)
      this.#opened.set(name, transport)
    }
    return transport
  }

  get openNames(): readonly string[] {
    return [...this.#opened.keys()]
  }

  /** Throws `WB_INVALID_CONFIG` where the transport has none. */
  async publisher(name: string): Promise<Publisher> {
    const transport = this.get(name)
    if (transport.openPublisher === undefined) throw cannot(name, 'publish')
    return await transport.openPublisher()
  }

  /** Throws `WB_INVALID_CONFIG` where the transport has none. */
  async dispatcher(name: string): Promise<Dispatcher> {
    const transport = this.get(name)
    if (transport.openDispatcher === undefined) throw cannot(name, 'send without a confirm')
    return await transport.openDispatcher()
  }

  /** Throws `WB_INVALID_CONFIG` where the transport has none. */
  async fencedPublisher(name: string, outbox: string): Promise<FencedPublisher> {
    const transport = this.get(name)
    if (transport.openFencedPublisher === undefined) throw cannot(name, 'write fenced transactions')
    return await transport.openFencedPublisher(outbox)
  }

  async closeAll(): Promise<void> {
    const opened = [...this.#opened.values()]
    this.#opened.clear()
    await Promise.all(opened.map((transport) => transport.close()))
  }
}

function cannot(name: string, what: string): WaybillError {
  return new WaybillError('WB_INVALID_CONFIG', `Transport "${name}" cannot ${what}.`)
}
