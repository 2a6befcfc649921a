import type { SubscribeRequest, Transport, TransportDefinition } from '../../ports/transport.ts'
import { Group } from './group.ts'
import type { Records } from './records.ts'
import type { Wire, WireMessage } from './wire.ts'

/**
 * Stands in for one transport of the configuration: what is sent goes to the wire, and what is handed over goes to the groups
 * that subscribe. The same for a local transport, whose relay is left out.
 */
export class MemoryBroker {
  readonly #name: string
  readonly #definition: TransportDefinition
  readonly #wire: Wire
  readonly #records: Records
  readonly #groups = new Map<
    string,
    { readonly group: Group; readonly channels: SubscribeRequest['channels'] }
  >()

  constructor(name: string, definition: TransportDefinition, wire: Wire, records: Records) {
    this.#name = name
    this.#definition = definition
    this.#wire = wire
    this.#records = records
  }

  /** Judged as the one it stands for; opened, it is no database's own. */
  get definition(): TransportDefinition {
    return { ...this.#definition, open: () => this.#open() }
  }

  get isSettled(): boolean {
    return [...this.#groups.values()].every(({ group }) => group.isSettled)
  }

  /** What consumers have before them, one at least where it is not settled. */
  get unsettled(): readonly { readonly consumer: string; readonly id: string; readonly channel: string }[] {
    return [...this.#groups].flatMap(([consumer, { group }]) =>
      group.unsettled.map(({ id, channel }) => ({ consumer, id, channel })),
    )
  }

  /**
   * Hands a message over to the groups that read where it goes. At a broker that is an address, whose channels all come; the lane of a
   * local consumer has its own channels alone.
   */
  handOver({ address, envelope }: WireMessage, isFor: (consumer: string) => boolean = () => true): number {
    const { isLocal } = this.#definition.capabilities
    let count = 0
    for (const [consumer, { group, channels }] of this.#groups) {
      const reads = channels.some((each) =>
        isLocal ? each.channel === envelope.channel : each.address === address,
      )
      if (!reads || !isFor(consumer)) continue
      group.put(address, envelope)
      count += 1
    }
    return count
  }

  #open(): Transport {
    const { kind, capabilities } = this.#definition
    return {
      kind,
      capabilities: { ...capabilities, isLocal: false },
      openPublisher: async () => ({
        publish: async (batch) => {
          this.#send(batch)
          return batch.map(() => ({ outcome: 'confirmed' }))
        },
        close: async () => {},
      }),
      openDispatcher: async () => ({
        dispatch: async (batch) => {
          this.#send(batch)
          return batch.map(() => ({ outcome: 'dispatched' }))
        },
        isReady: async () => true,
        close: async () => {},
      }),
      subscribe: async (request) => {
        const { consumer, channels } = request
        const known = this.#groups.get(consumer)?.group
        const publish = (outputs: readonly Pick<WireMessage, 'envelope' | 'address'>[]): void =>
          this.#send(outputs)
        const group = known ?? new Group({ consumer, records: this.#records, publish })
        this.#groups.set(consumer, { group, channels })
        return group.subscribe(request)
      },
      close: async () => {},
    }
  }

  #send(messages: readonly Pick<WireMessage, 'envelope' | 'address'>[]): void {
    const transport = this.#name
    this.#wire.add(
      messages.map(({ envelope, address }) => ({ envelope, address, transport, isDelayed: false })),
    )
  }
}
